"""Any part may be killed at any time: what runs goes on, what is lost is noticed, nothing stays."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from kubelet.runtime import layout, leftovers
from kubelet.runtime.errors import RuntimeFailure, ShimGone
from kubelet.runtime.protocol import SandboxConfig, SandboxStatus
from tests.node.runtime.engine import Engine, Pods, log_text, until


@pytest.fixture
def pods(own_engine: Engine, tmp_path: Path) -> Pods:
    return Pods(own_engine.runtime, tmp_path)


def sandbox_of(pods: Pods, uid: str) -> SandboxStatus:
    return next(status for status in pods.runtime.list_pod_sandboxes() if status.id == uid)


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_containers_outlive_launcher_and_client_and_are_adopted(
    own_engine: Engine, pods: Pods, tmp_path: Path
) -> None:
    container = pods.script(
        "echo one; while ! test -e /tmp/go; do sleep 0.02; done; echo two; exit 5"
    )
    own_engine.kill_launcher()
    again = Pods(own_engine.restart_client(), tmp_path)
    assert again.runtime.container_status(container.id) == container
    assert sandbox_of(again, container.sandbox_id).state == "ready"
    again.sh(container, "touch /tmp/go")
    ended = again.ended(container)
    assert (ended.exit_code, log_text(ended)) == (5, "one\ntwo\n")
    until(lambda: again.has_event("container_exited", container.id))


def test_an_exit_while_no_client_was_there_is_told_to_the_next(
    own_engine: Engine, pods: Pods, tmp_path: Path
) -> None:
    container = pods.script("while ! test -e /tmp/go; do sleep 0.02; done; exit 5")
    pods.sh(container, "touch /tmp/go")
    own_engine.runtime.close()
    until(lambda: not is_alive(container.pid))
    again = Pods(own_engine.restart_client(), tmp_path)
    assert again.ended(container).exit_code == 5


def test_a_restarted_launcher_makes_sandboxes_again_for_the_same_client(
    own_engine: Engine, pods: Pods
) -> None:
    own_engine.kill_launcher()
    thread = threading.Thread(target=pods.sleeper)
    thread.start()
    own_engine.start_launcher()
    thread.join(20)
    assert [c.state for c in pods.runtime.list_containers()] == ["running"]


def test_without_a_launcher_the_reason_is_told(
    own_engine: Engine, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelet.runtime.client.LAUNCHER_TIMEOUT_S", 0.1)
    own_engine.kill_launcher()
    with pytest.raises(RuntimeFailure, match=r"the launcher at .* does not answer"):
        pods.sandbox()
    assert pods.runtime.list_pod_sandboxes() == []


def test_a_killed_shim_is_noticed_and_takes_its_containers_along(pods: Pods) -> None:
    container = pods.script("setsid sleep 1006 & exec sleep 1000")
    shim = sandbox_of(pods, container.sandbox_id).shim_pid
    session = pods.runtime.exec(container.id, ["sleep", "1000"])
    os.kill(shim, signal.SIGKILL)
    until(lambda: pods.has_event("sandbox_exited", container.sandbox_id))
    ended = pods.runtime.container_status(container.id)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 137, "Error")
    assert ended.message == "its shim ended, and with it the container"
    assert session.wait(10) == 137
    until(lambda: not is_alive(container.pid))
    with pytest.raises(ShimGone):
        pods.create("true", sandbox=container.sandbox_id, attempt=1)


def test_a_sandbox_whose_shim_was_killed_is_made_anew_under_the_same_id(pods: Pods) -> None:
    old = pods.sleeper()
    uid = old.sandbox_id
    os.kill(sandbox_of(pods, uid).shim_pid, signal.SIGKILL)
    until(lambda: pods.has_event("sandbox_exited", uid))
    pods.runtime.run_pod_sandbox(SandboxConfig(uid, "web", f"kubepods/pod{uid}"))
    new = pods.sleeper(sandbox=uid, attempt=1)
    states = {c.id: c.state for c in pods.runtime.list_containers(uid)}
    assert states == {old.id: "exited", new.id: "running"}
    pods.runtime.remove_container(old.id)
    assert [c.id for c in pods.runtime.list_containers(uid)] == [new.id]


def test_a_shim_that_died_while_no_client_ran_is_found_dead(
    own_engine: Engine, pods: Pods, tmp_path: Path
) -> None:
    container = pods.sleeper()
    shim = sandbox_of(pods, container.sandbox_id).shim_pid
    own_engine.runtime.close()
    os.kill(shim, signal.SIGKILL)
    until(lambda: not is_alive(container.pid))
    again = Pods(own_engine.restart_client(), tmp_path)
    assert sandbox_of(again, container.sandbox_id).state == "not_ready"
    assert again.runtime.container_status(container.id).exit_code == 137
    again.runtime.remove_pod_sandbox(container.sandbox_id)
    assert again.runtime.list_containers() == []


def test_a_shim_told_to_end_ends_its_containers_politely(pods: Pods) -> None:
    container = pods.script("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done")
    until(lambda: "up" in Path(container.log_path).read_text())
    os.kill(sandbox_of(pods, container.sandbox_id).shim_pid, signal.SIGTERM)
    until(lambda: pods.has_event("sandbox_exited", container.sandbox_id))
    ended = pods.runtime.container_status(container.id)
    assert (ended.exit_code, ended.reason, log_text(ended)) == (0, "Completed", "up\nbye\n")


def test_removing_a_sandbox_leaves_nothing_of_it(own_engine: Engine, pods: Pods) -> None:
    container = pods.sleeper()
    uid = container.sandbox_id
    shim = sandbox_of(pods, uid).shim_pid
    pods.create("sleep", "1000", sandbox=uid, name="never-started")
    pods.runtime.remove_pod_sandbox(uid)
    until(lambda: not is_alive(shim) and not is_alive(container.pid))
    left = own_engine.find_leftovers()
    assert [line for line in left if "process" in line] == [f"process {own_engine.launcher.pid}"]
    assert not [line for line in left if uid in line]
    assert not list(Path(own_engine.root).glob(f"**/*{uid}*"))
    assert Path(container.log_path).exists()


def test_all_is_found_and_removed_though_the_records_are_gone(
    own_engine: Engine, pods: Pods
) -> None:
    container, powerful = pods.sleeper(), pods.sleeper(privileged=True, pid_namespace="node")
    pids = [container.pid, powerful.pid, *(s.shim_pid for s in pods.runtime.list_pod_sandboxes())]
    own_engine.runtime.close()
    for record in Path(own_engine.root).glob("**/*.json"):
        record.unlink()
    assert len(own_engine.find_leftovers()) > 8
    leftovers.remove_everything(own_engine.root, own_engine.cgroup_root)
    assert own_engine.find_leftovers() == []
    until(lambda: not any(map(is_alive, pids)))
    leftovers.remove_everything(own_engine.root, own_engine.cgroup_root)


def test_rubbish_in_place_of_records_does_not_keep_a_client_from_starting(
    own_engine: Engine, pods: Pods, tmp_path: Path
) -> None:
    container = pods.sleeper()
    own_engine.runtime.close()
    os.kill(sandbox_of(pods, container.sandbox_id).shim_pid, signal.SIGKILL)
    until(lambda: not is_alive(container.pid))
    directory = Path(own_engine.root, "sandboxes")
    Path(directory, container.sandbox_id, "sandbox.json").write_bytes(b"\0" * 200)
    Path(directory, "empty").mkdir()
    again = Pods(own_engine.restart_client(), tmp_path)
    assert again.runtime.list_pod_sandboxes() == []
    assert list(directory.iterdir()) == []
    assert again.sleeper().state == "running"


def test_many_at_once_from_many_threads(own_engine: Engine, pods: Pods) -> None:
    threads = [threading.Thread(target=pods.sleeper) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [c.state for c in pods.runtime.list_containers()] == ["running"] * 12
    assert len({s.shim_pid for s in pods.runtime.list_pod_sandboxes()}) == 12
    pods.close()
    assert pods.runtime.list_pod_sandboxes() == []
    assert os.listdir(f"{own_engine.root}/sandboxes") == []


def test_a_shim_whose_kubelet_died_before_it_said_what_for_ends(own_engine: Engine) -> None:
    until(Path(own_engine.root, "launcher.sock").exists)
    ours, theirs = socket.socketpair()
    with (
        theirs,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
        layout.short_path(own_engine.root, "launcher.sock") as path,
    ):
        channel.connect(path)
        socket.send_fds(channel, [b"shim"], [theirs.fileno()])
    children = Path(f"/proc/{own_engine.launcher.pid}/task/{own_engine.launcher.pid}/children")
    until(lambda: children.read_text().split())
    ours.close()  # as when the kubelet is killed
    until(lambda: not children.read_text().split())
