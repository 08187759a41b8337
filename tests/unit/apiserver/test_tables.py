"""Tables show what `kubectl get` shows on Kubernetes 1.32."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from apiserver import shapes, tables
from apiserver.negotiation import wanted
from apiserver.storage import Change
from podium.api.scheme import all_resources, resource
from tests.support.builders import a_deployment, a_meta, a_node, a_pod, a_replicaset

NOW = datetime(2026, 11, 24, 2, 2, 3, tzinfo=UTC)  # an hour after the builders' objects are made
PODS = resource("pods")


def cells(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    found = resource(kind)
    columns = [c["name"] for c in tables.columns(found)]
    return dict(zip(columns, tables.row(found, obj, NOW), strict=True))


def a_container_status(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": True, "restartCount": 0, "state": {"running": {}}} | more


def a_pod_like(*statuses: dict[str, Any], phase: str = "Running", **status: Any) -> dict[str, Any]:
    pod = a_pod(phase=phase)
    pod["spec"]["containers"] = [{"name": s["name"]} for s in statuses] or [{"name": "main"}]
    pod["status"] |= {"containerStatuses": list(statuses), **status}
    return pod


def waiting(reason: str) -> dict[str, Any]:
    return {"ready": False, "state": {"waiting": {"reason": reason}}}


def ended(code: int, reason: str = "", **more: Any) -> dict[str, Any]:
    state = {"exitCode": code, **({"reason": reason} if reason else {}), **more}
    return {"ready": False, "state": {"terminated": state}}


@pytest.mark.parametrize(
    ("status", "shown", "ready"),
    [
        (a_container_status(), "Running", "1/1"),
        (a_container_status(**waiting("ContainerCreating")), "ContainerCreating", "0/1"),
        (a_container_status(**waiting("CrashLoopBackOff")), "CrashLoopBackOff", "0/1"),
        (a_container_status(**waiting("ErrImagePull")), "ErrImagePull", "0/1"),
        (a_container_status(**ended(0, "Completed")), "Completed", "0/1"),
        (a_container_status(**ended(137, "OOMKilled")), "OOMKilled", "0/1"),
        (a_container_status(**ended(3)), "ExitCode:3", "0/1"),
        (a_container_status(**ended(0, signal=9)), "Signal:9", "0/1"),
    ],
)
def test_the_status_of_a_pod_is_its_containers(
    status: dict[str, Any], shown: str, ready: str
) -> None:
    found = cells(a_pod_like(status), "pods")
    assert (found["Status"], found["Ready"]) == (shown, ready)


def test_a_pod_that_has_no_containers_yet_shows_its_phase_or_reason() -> None:
    assert cells(a_pod_like(phase="Pending"), "pods")["Status"] == "Pending"
    assert cells(a_pod_like(phase="Failed", reason="Evicted"), "pods")["Status"] == "Evicted"


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        ([a_container_status("i1", **waiting("PodInitializing"))], "Init:0/2"),
        (
            [a_container_status("i1", **ended(0, "Completed")), a_container_status("i2")],
            "Init:1/2",
        ),
        ([a_container_status("i1", **ended(1, "Error"))], "Init:Error"),
        ([a_container_status("i1", **ended(1))], "Init:ExitCode:1"),
        ([a_container_status("i1", **waiting("CrashLoopBackOff"))], "Init:CrashLoopBackOff"),
    ],
)
def test_init_containers_show_how_far_they_are(statuses: list[dict[str, Any]], shown: str) -> None:
    pod = a_pod_like(a_container_status(**waiting("PodInitializing")), phase="Pending")
    pod["spec"]["initContainers"] = [{"name": "i1"}, {"name": "i2"}]
    pod["status"]["initContainerStatuses"] = statuses
    assert cells(pod, "pods")["Status"] == shown


def test_a_sidecar_counts_as_a_container() -> None:
    pod = a_pod_like(a_container_status())
    pod["spec"]["initContainers"] = [{"name": "s", "restartPolicy": "Always"}]
    pod["status"]["initContainerStatuses"] = [a_container_status("s", started=True)]
    assert cells(pod, "pods")["Ready"] == "2/2"
    assert cells(pod, "pods")["Status"] == "Running"


def test_a_pod_with_one_container_done_and_one_running_is_running_if_ready() -> None:
    statuses = [a_container_status("a", **ended(0, "Completed")), a_container_status("b")]
    pod = a_pod_like(*statuses, conditions=[{"type": "Ready", "status": "True"}])
    assert cells(pod, "pods")["Status"] == "Running"
    pod["status"]["conditions"] = []
    assert cells(pod, "pods")["Status"] == "NotReady"


def test_a_pod_that_is_being_deleted_is_terminating_until_it_has_ended() -> None:
    pod = a_pod_like(a_container_status())
    pod["metadata"]["deletionTimestamp"] = "2026-11-24T02:02:00Z"
    assert cells(pod, "pods")["Status"] == "Terminating"
    pod["status"]["reason"] = "NodeLost"
    assert cells(pod, "pods")["Status"] == "Unknown"
    done = a_pod_like(a_container_status(**ended(0, "Completed")), phase="Succeeded")
    done["metadata"]["deletionTimestamp"] = "2026-11-24T02:02:00Z"
    assert cells(done, "pods")["Status"] == "Completed"


def test_restarts_say_when_the_last_one_was() -> None:
    last = {"terminated": {"finishedAt": "2026-11-24T02:01:58Z"}}
    pod = a_pod_like(a_container_status(restartCount=3, lastState=last))
    assert cells(pod, "pods")["Restarts"] == "3 (5s ago)"
    assert cells(a_pod_like(a_container_status()), "pods")["Restarts"] == "0"


def test_the_wide_columns_of_a_pod_are_where_it_is() -> None:
    pod = a_pod_like(a_container_status(), podIPs=[{"ip": "10.244.0.5"}])
    pod["spec"]["nodeName"] = "n1"
    found = cells(pod, "pods")
    assert (found["IP"], found["Node"], found["Nominated Node"], found["Readiness Gates"]) == (
        "10.244.0.5", "n1", "<none>", "<none>",
    )  # fmt: skip
    wide = [c["name"] for c in tables.columns(PODS) if c["priority"]]
    assert wide == ["IP", "Node", "Nominated Node", "Readiness Gates"]


def test_a_deployment_shows_its_numbers_and_its_template() -> None:
    deployment = a_deployment(replicas=3)
    deployment["status"] = {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}
    assert cells(deployment, "deploy") == {
        "Name": "web", "Ready": "2/3", "Up-to-date": 3, "Available": 1, "Age": "60m",
        "Containers": "main", "Images": "host", "Selector": "app=web",
    }  # fmt: skip


def test_a_replicaset_shows_desired_current_and_ready() -> None:
    replicaset = a_replicaset(replicas=3, status={"replicas": 2, "readyReplicas": 1})
    found = cells(replicaset, "rs")
    assert (found["Desired"], found["Current"], found["Ready"]) == (3, 2, 1)


def test_a_node_shows_its_readiness_and_roles() -> None:
    node = a_node(ready=False, unschedulable=True, labels={"node-role.kubernetes.io/worker": ""})
    node["status"]["addresses"] = [{"type": "InternalIP", "address": "10.0.0.1"}]
    node["status"]["nodeInfo"] = {"kubeletVersion": "v1.32.0"}
    found = cells(node, "nodes")
    assert (found["Status"], found["Roles"]) == ("NotReady,SchedulingDisabled", "worker")
    assert (found["Version"], found["Internal-IP"]) == ("v1.32.0", "10.0.0.1")
    assert (found["External-IP"], found["OS-Image"]) == ("<none>", "<unknown>")


def test_an_event_says_what_happened_to_what() -> None:
    event = {
        "metadata": a_meta("web.1"), "type": "Warning", "reason": "BackOff", "message": " no \n",
        "involvedObject": {"kind": "Pod", "name": "web"}, "count": 4,
        "source": {"component": "kubelet", "host": "n1"},
        "firstTimestamp": "2026-11-24T02:00:03Z", "lastTimestamp": "2026-11-24T02:02:00Z",
    }  # fmt: skip
    assert cells(event, "events") == {
        "Last Seen": "3s", "Type": "Warning", "Reason": "BackOff", "Object": "pod/web",
        "Subobject": "", "Source": "kubelet, n1", "Message": "no", "First Seen": "2m", "Count": 4,
        "Name": "web.1",
    }  # fmt: skip


@pytest.mark.parametrize("found", all_resources(), ids=lambda r: r.key)
def test_every_kind_has_as_many_cells_as_columns_even_when_it_is_empty(found: Any) -> None:
    columns = tables.columns(found)
    assert len(tables.row(found, {"metadata": {"name": "x"}}, NOW)) == len(columns)
    assert "Name" in [c["name"] for c in columns]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (190, "3m10s"),
     (599, "9m59s"), (600, "10m"), (3600, "60m"), (3 * 3600, "3h"), (3 * 3600 + 300, "3h5m"),
     (9 * 3600, "9h"), (47 * 3600, "47h"), (48 * 3600, "2d"), (49 * 3600, "2d1h"),
     (10 * 86400, "10d"), (3 * 365 * 86400, "3y"), (1100 * 86400, "3y5d"), (9 * 365 * 86400, "9y")],
)  # fmt: skip
def test_an_age_is_the_coarser_the_longer_it_is(seconds: int, shown: str) -> None:
    moment = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert tables.age(moment, NOW) == shown


def test_what_has_no_time_has_an_unknown_age() -> None:
    assert tables.age(None, NOW) == "<unknown>"
    assert tables.age("soon", NOW) == "<unknown>"


def test_a_row_is_made_once_for_all_who_watch_a_list() -> None:
    form = wanted("application/json;as=Table;v=v1;g=meta.k8s.io")
    pods = resource("pods")
    changes = [_a_change(a_pod(name)) for name in ("first", "second")]
    one, other = (shapes.for_watch(form, pods, "Metadata") for _ in range(2))
    assert one is not None
    assert other is not None
    for shape in (one, other):
        assert b'"columnDefinitions":[{' in shape(changes[0], changes[0].body)  # its first event
    assert one(changes[1], changes[1].body) is other(changes[1], changes[1].body)


def _a_change(obj: dict[str, Any]) -> Change:
    about, body = obj["metadata"], orjson.dumps(obj)
    return Change(int(about["resourceVersion"]), "MODIFIED", "pods", about["namespace"],
                  about["name"], body, None, None)  # fmt: skip
