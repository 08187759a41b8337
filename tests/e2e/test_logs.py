"""kubectl logs with every option it has."""

from __future__ import annotations

from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper

TALK = "echo one; echo two >&2; sleep 2; echo three; exec sleep infinity"


def a_talker(ns: Namespaced, **spec: Any) -> None:
    pod = a_sleeper(command=["sh", "-c", TALK])
    pod["spec"] |= spec
    ns.apply(pod)
    ns.cluster.until(lambda: "three" in ns.kubectl("logs", "web", "-c", "main", check=False).stdout)


def test_tail_limit_and_both_streams(ns: Namespaced) -> None:
    a_talker(ns)
    assert ns.out("logs", "web") == "one\ntwo\nthree\n"
    assert ns.out("logs", "web", "--tail=1") == "three\n"
    assert ns.out("logs", "web", "--tail=0") == ""
    assert ns.out("logs", "web", "--limit-bytes=5") == "one\nt"


def test_since_counts_from_the_lines_own_times(ns: Namespaced) -> None:
    a_talker(ns)
    stamped = [line.split(" ", 1) for line in ns.out("logs", "web", "--timestamps").splitlines()]
    assert [text for _, text in stamped] == ["one", "two", "three"]
    assert ns.out("logs", "web", f"--since-time={stamped[2][0]}") == "three\n"
    assert ns.out("logs", "web", "--since=1h") == "one\ntwo\nthree\n"


def test_all_containers_with_their_names(ns: Namespaced) -> None:
    said = {"name": "first", "image": "host", "command": ["echo", "from init"]}
    a_talker(ns, initContainers=[said])
    lines = ns.out("logs", "web", "--all-containers", "--prefix").splitlines()
    assert "[pod/web/first] from init" in lines
    assert "[pod/web/main] three" in lines
    assert ns.out("logs", "web", "-c", "first") == "from init\n"


def test_following_ends_with_the_container_and_begins_anew(ns: Namespaced) -> None:
    ns.apply(a_sleeper(command=["sh", "-c", "echo life $$; sleep 1; exit 1"]))
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    assert "life" in ns.out("logs", "web", "-f", "--pod-running-timeout=30s")
    assert "life" in ns.out("logs", "web", "--previous")
    never = ns.kubectl("logs", "web", "--tail=-2", check=False)
    assert "--tail must be greater than or equal to -1" in never.stderr
