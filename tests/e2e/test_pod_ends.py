"""How a Pod ends, on real containers: its last words, its deadline, a node that has no room."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.namespaced import Namespaced, a_script, a_sleeper


def ended(ns: Namespaced, pod: str) -> dict[str, Any]:
    state = ns.get("pod", pod)["status"]["containerStatuses"][0]["state"]
    found: dict[str, Any] = state["terminated"]
    return found


@pytest.mark.parametrize(
    ("script", "policy", "message"),
    [
        ("echo broken > /dev/termination-log; exit 3", "File", "broken"),
        ("echo only in the log; exit 3", "FallbackToLogsOnError", "only in the log\n"),
        ("echo only in the log; exit 3", "File", None),
    ],
)
def test_the_status_shows_a_containers_last_words(
    ns: Namespaced, script: str, policy: str, message: str | None
) -> None:
    ns.apply(a_script("last", script, terminationMessagePolicy=policy))
    ns.wait("pod/last", "jsonpath={.status.phase}=Failed")
    found = ended(ns, "last")
    assert found["exitCode"] == 3
    assert (found.get("message") or "").strip() == (message or "").strip()


def test_a_termination_message_cannot_be_swapped_for_a_link_to_the_hosts_files(
    ns: Namespaced,
) -> None:
    swap = "rm -f /dev/termination-log; ln -sf /etc/hostname /dev/termination-log; exit 3"
    ns.apply(a_script("swap", swap))
    ns.wait("pod/swap", "jsonpath={.status.phase}=Failed")
    assert not ended(ns, "swap").get("message")


def test_a_pod_is_ended_at_its_deadline(ns: Namespaced) -> None:
    pod = a_sleeper("slow")
    pod["spec"] |= {"activeDeadlineSeconds": 2, "terminationGracePeriodSeconds": 0}
    ns.apply(pod)
    ns.wait("pod/slow", "jsonpath={.status.phase}=Failed")
    uid = ns.get("pod", "slow")["metadata"]["uid"]
    assert ns.get("pod", "slow")["status"]["reason"] == "DeadlineExceeded"
    ns.cluster.until(lambda: uid not in ns.cluster.sandbox_uids())


def test_a_pod_bound_by_hand_to_a_node_without_room_fails(ns: Namespaced) -> None:
    node = ns.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").stdout
    pod = a_sleeper("huge", resources={"requests": {"cpu": "999"}})
    ns.apply(pod | {"spec": pod["spec"] | {"nodeName": node}})
    ns.wait("pod/huge", "jsonpath={.status.phase}=Failed")
    status = ns.get("pod", "huge")["status"]
    assert status["reason"] == "OutOfcpu"
    assert "requested: 999000" in status["message"]
