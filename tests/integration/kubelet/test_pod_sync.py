"""Pods from binding to deletion: the real API server, the fake runtime."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kubelet.node import FakeNetwork, Node, running_node
from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.fake_runtime import FakeRuntime
from tests.support.waiting import PATIENCE, eventually
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def node(server: ApiServerProcess, tmp_path: Path) -> Iterator[Node]:
    with running_node(server, tmp_path / "node") as found:
        yield found
        for pod in found.admin.list("pods", "default")["items"]:
            found.admin.delete("pods", pod["metadata"]["name"], "default", grace_s=0)


def named(name: str, *containers: Object, **spec: Any) -> Object:
    pod = a_kubelet_pod(*containers, **spec)
    pod["metadata"]["name"] = name
    return pod


def main(status: Object) -> Object:
    found: Object = status["containerStatuses"][0]
    return found


def test_a_bound_pod_runs_and_is_ready(node: Node) -> None:
    pod = node.run(named("web"))
    status = node.expect_running(pod)
    ready = {c["type"]: c["status"] for c in status["conditions"]}
    assert ready["Ready"] == ready["ContainersReady"] == ready["Initialized"] == "True"
    assert status["podIP"].startswith("10.244.0.")
    assert main(status)["containerID"] == f"podium://{node.container(pod).id}"
    for reason in ("Pulled", "Created", "Started"):
        eventually(lambda reason=reason: node.events(reason))


def test_a_second_look_writes_nothing(node: Node) -> None:
    pod = node.run(named("calm"))
    node.expect_running(pod)
    uid = pod["metadata"]["uid"]
    eventually(lambda: node.pods.get("default/calm")["status"].get("phase") == "Running")  # type: ignore[index]
    version = node.admin.get("pods", "calm", "default")["metadata"]["resourceVersion"]
    calls = list(node.runtime.calls)
    assert (node.sync.reconcile(uid) or 0) > 2000  # until the token is to be renewed
    assert node.admin.get("pods", "calm", "default")["metadata"]["resourceVersion"] == version
    assert node.runtime.calls == calls


def test_init_containers_run_first_and_in_order(node: Node) -> None:
    inits = (a_container("one", command=["true"]), a_container("two", command=["true"]))
    node.expect_running(node.run(named("ordered", initContainers=list(inits))))
    started = [name for call, name in node.runtime.calls if call == "start_container"]
    assert started == ["one", "two", "main"]


def test_a_crashing_container_is_restarted_at_once_and_then_backs_off(node: Node) -> None:
    pod = node.run(named("crash", a_container(command=["sh", "-c", "exit 3"])))
    message = node.expect_reason(pod, "CrashLoopBackOff")
    assert message.startswith("back-off 10s restarting failed container=main pod=crash_default(")
    shown = main(node.status(pod))
    assert (shown["restartCount"], shown["lastState"]["terminated"]["exitCode"]) == (1, 3)


def test_only_the_last_ended_container_is_kept(node: Node) -> None:
    pod = node.run(named("restarts"))
    node.expect_running(pod)
    for attempt in range(3):
        node.runtime.end(node.container(pod).id, 1)
        node.sync._memory[pod["metadata"]["uid"]].backoffs.clear()
        eventually(lambda a=attempt: node.container(pod).attempt == a + 1)
    eventually(lambda: len(node.runtime.list_containers(pod["metadata"]["uid"])) == 2)


def test_a_pod_that_ends_gives_back_everything_but_its_logs(node: Node) -> None:
    pod = node.run(named("job", a_container(command=["true"]), restartPolicy="Never"))
    status = node.expect(pod, lambda status: status["phase"] == "Succeeded")
    assert main(status)["state"]["terminated"]["reason"] == "Completed"
    eventually(lambda: node.runtime.list_pod_sandboxes() == [])
    assert node.network.attached() == {}


def test_a_missing_image_is_an_error_first_and_then_backed_off(node: Node) -> None:
    pod = node.run(named("pull", a_container(image="nowhere/app:1")))
    assert "nowhere/app:1" in node.expect_reason(pod, "ErrImagePull")
    message = node.expect_reason(pod, "ImagePullBackOff")
    assert message.startswith('Back-off pulling image "nowhere/app:1": ErrImagePull: ')


def test_never_pulling_and_impossible_names_have_reasons_of_their_own(node: Node) -> None:
    never = a_container(image="nowhere/app:1", imagePullPolicy="Never")
    assert node.expect_reason(node.run(named("never", never)), "ErrImageNeverPull") == (
        'Container image "nowhere/app:1" is not present with pull policy of Never'
    )
    node.expect_reason(node.run(named("upper", a_container(image="UPPER"))), "InvalidImageName")


def test_a_command_that_does_not_exist_ends_with_127(node: Node) -> None:
    pod = node.run(named("typo", a_container(command=["nope"]), restartPolicy="Never"))
    status = node.expect(pod, lambda status: status["phase"] == "Failed")
    ended = main(status)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 127)
    assert "nope" in ended["message"]


def test_a_container_starts_as_soon_as_its_config_map_is_there(node: Node) -> None:
    source = {"configMapKeyRef": {"name": "late", "key": "k"}}
    pod = node.run(named("early", a_container(env=[{"name": "K", "valueFrom": source}])))
    assert node.expect_reason(pod, "CreateContainerConfigError") == 'configmap "late" not found'
    node.admin.create("configmaps", {"metadata": {"name": "late"}, "data": {"k": "v"}}, "default")
    node.expect_running(pod)
    assert node.runtime.config_of(node.container(pod).id).env["K"] == "v"
    node.admin.delete("configmaps", "late", "default")


def test_a_changed_config_map_changes_the_files(node: Node, tmp_path: Path) -> None:
    node.admin.create("configmaps", {"metadata": {"name": "live"}, "data": {"k": "1"}}, "default")
    volumes = [{"name": "v", "configMap": {"name": "live"}}]
    pod = node.run(named("reader", volumes=volumes))
    node.expect_running(pod)
    file = tmp_path / "node" / "pods" / pod["metadata"]["uid"] / "volumes" / "v" / "k"
    assert file.read_text() == "1"
    node.admin.patch("configmaps", "live", "default", {"data": {"k": "2"}})
    eventually(lambda: file.read_text() == "2")
    node.admin.delete("configmaps", "live", "default")


def test_a_volume_that_this_node_cannot_give_is_told_in_an_event(node: Node) -> None:
    volume = {"name": "v", "nfs": {"server": "files", "path": "/"}}
    node.run(named("island", volumes=[volume]))
    eventually(lambda: any("an NFS client" in said for said in node.events("FailedMount")))


def test_a_pod_that_does_not_fit_fails(node: Node) -> None:
    huge = a_container(resources={"requests": {"cpu": "5000"}})
    status = node.expect(node.run(named("huge", huge)), lambda s: s["phase"] == "Failed")
    assert status["reason"] == "OutOfcpu"


def test_a_pod_that_takes_too_long_fails(node: Node) -> None:
    pod = node.run(named("slow", activeDeadlineSeconds=1))
    status = node.expect(pod, lambda s: s["phase"] == "Failed")
    assert status["reason"] == "DeadlineExceeded"
    assert main(status)["state"]["terminated"]["exitCode"] == 143
    eventually(lambda: node.runtime.list_pod_sandboxes() == [])


# ---- ends ---------------------------------------------------------------------------------------


def test_a_deleted_pod_is_stopped_cleaned_up_and_gone(node: Node, tmp_path: Path) -> None:
    pod = node.run(named("bye"))
    node.expect_running(pod)
    node.admin.delete("pods", "bye", "default", grace_s=5)
    node.expect_gone(pod)
    eventually(lambda: node.sync.known() == set())
    assert ("stop_container", "main") in node.runtime.calls
    eventually(lambda: "Stopping container main" in node.events("Killing"))


def test_a_pod_that_vanished_from_the_api_is_cleaned_away(node: Node) -> None:
    pod = node.run(named("orphan"))
    node.expect_running(pod)
    node.admin.delete("pods", "orphan", "default", grace_s=0)
    eventually(lambda: node.sync.known() == set())


def test_a_lost_sandbox_is_made_anew_and_counted_as_a_restart(node: Node) -> None:
    pod = node.run(named("phoenix"))
    node.expect_running(pod)
    node.runtime.lose_shim(pod["metadata"]["uid"])
    status = node.expect(pod, lambda s: main(s)["restartCount"] == 1 and main(s)["ready"])
    assert main(status)["lastState"]["terminated"]["exitCode"] == 137
    eventually(lambda: node.events("SandboxChanged"))


def test_a_status_that_somebody_else_changed_is_put_right(node: Node) -> None:
    pod = node.run(named("maligned"))
    conditions = node.expect_running(pod)["conditions"]
    wrong = [c | {"status": "False"} if c["type"] == "Ready" else c for c in conditions]
    node.admin.patch("pods", "maligned", "default", {"status": {"conditions": wrong}},
                     subresource="status")  # fmt: skip
    node.expect(pod, lambda s: {c["type"]: c["status"] for c in s["conditions"]}["Ready"] == "True")


# ---- lives of the kubelet -----------------------------------------------------------------------


def test_a_new_kubelet_adopts_what_runs(server: ApiServerProcess, tmp_path: Path) -> None:
    runtime, network = FakeRuntime(), FakeNetwork()
    with running_node(server, tmp_path / "node", runtime, network) as first:
        pod = first.run(named("steady"))
        first.expect_running(pod)
        before = first.container(pod)
    with running_node(server, tmp_path / "node", runtime, network) as second:
        second.sync.reconcile(pod["metadata"]["uid"])
        assert second.container(pod) == before
        assert second.status(pod)["containerStatuses"][0]["restartCount"] == 0
        second.admin.delete("pods", "steady", "default", grace_s=0)
        eventually(lambda: second.sync.known() == set())


def test_after_a_reboot_pods_run_again_and_their_count_goes_on(
    server: ApiServerProcess, tmp_path: Path
) -> None:
    with running_node(server, tmp_path / "node") as first:
        pod = first.run(named("rebooted"))
        first.expect_running(pod)
    with running_node(server, tmp_path / "node") as second:
        status = second.expect(pod, lambda s: main(s)["restartCount"] == 1 and main(s)["ready"])
        assert main(status)["lastState"]["terminated"]["exitCode"] == 137
        second.admin.delete("pods", "rebooted", "default", grace_s=0)
        eventually(lambda: second.sync.known() == set())


def test_thirty_pods_are_ready_within_seconds(node: Node) -> None:
    began = time.monotonic()
    pods = [node.run(named(f"many-{number}")) for number in range(30)]
    for pod in pods:
        node.expect_running(pod)
    assert time.monotonic() - began < 20 * PATIENCE
