"""What every engine promises the kubelet: run against the real one and against the fake."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelet.runtime.errors import (
    CommandNotFound,
    ContainerNotFound,
    ContainerNotRunning,
    RuntimeFailure,
    SandboxNotFound,
    ShimGone,
)
from kubelet.runtime.protocol import ContainerStatus, Resources, SandboxConfig
from tests.node.runtime.containerd_engine import ContainerdEngine
from tests.node.runtime.engine import Engine, Pods, log_text, until
from tests.support.fake_runtime import FakeRuntime


@pytest.fixture(params=["real", "containerd", "fake"])
def pods(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pods]:
    if request.param == "fake":
        pods = Pods(FakeRuntime(), tmp_path)
    else:
        name = "engine" if request.param == "real" else "containerd"
        engine: Engine | ContainerdEngine = request.getfixturevalue(name)
        pods = Pods(engine.runtime, tmp_path)
    yield pods
    pods.close()


def sandbox_of(pods: Pods, uid: str) -> Any:
    found = [status for status in pods.runtime.list_pod_sandboxes() if status.id == uid]
    return found[0] if found else None


def test_a_sandbox_is_made_once_and_listed_with_its_labels(pods: Pods) -> None:
    uid = pods.sandbox(labels={"namespace": "default"})
    again = pods.runtime.run_pod_sandbox(SandboxConfig(uid, "web", f"kubepods/pod{uid}"))
    assert again == sandbox_of(pods, uid)
    assert (again.state, again.labels) == ("ready", {"namespace": "default"})
    assert again.netns_path == f"/proc/{again.shim_pid}/ns/net"


def test_a_container_is_created_then_runs_then_exits(pods: Pods) -> None:
    created = pods.create("sleep", "1000", labels={"a": "b"})
    before = pods.runtime.container_status(created)
    assert (before.state, before.started_at, before.labels) == ("created", 0.0, {"a": "b"})
    running = pods.runtime.start_container(created)
    assert running.state == "running"
    assert running.pid > 0
    assert running.started_at >= before.created_at
    pods.runtime.stop_container(created, 0)
    after = pods.runtime.container_status(created)
    assert (after.state, after.pid, after.exit_code, after.reason) == ("exited", 0, 137, "Error")
    assert after.finished_at >= running.started_at


@pytest.mark.parametrize(
    ("script", "code", "reason"), [("exit 0", 0, "Completed"), ("exit 3", 3, "Error")]
)
def test_the_exit_code_is_told_with_a_reason(
    pods: Pods, script: str, code: int, reason: str
) -> None:
    ended = pods.ended(pods.script(script))
    assert (ended.exit_code, ended.reason) == (code, reason)


def test_a_command_that_does_not_exist_is_a_start_error(pods: Pods) -> None:
    ended = pods.start("nope")
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 127, "StartError")
    assert ended.message == 'exec: "nope": executable file not found in $PATH'
    assert ended.started_at == 0.0


def test_starts_and_ends_are_told_as_events(pods: Pods) -> None:
    container = pods.sleeper()
    until(lambda: pods.has_event("container_started", container.id))
    pods.runtime.stop_container(container.id, 0)
    until(lambda: pods.has_event("container_exited", container.id))
    pods.runtime.stop_pod_sandbox(container.sandbox_id)
    until(lambda: pods.has_event("sandbox_exited", container.sandbox_id))


def test_creating_the_same_attempt_again_gives_the_same_container(pods: Pods) -> None:
    uid = pods.sandbox()
    first = pods.create("sleep", "1000", sandbox=uid)
    assert pods.create("sleep", "1000", sandbox=uid) == first
    assert pods.create("sleep", "1000", sandbox=uid, attempt=1) != first
    assert len(pods.runtime.list_containers(uid)) == 2


def test_every_ending_call_may_be_repeated(pods: Pods) -> None:
    container = pods.sleeper()
    for _ in range(2):
        pods.runtime.stop_container(container.id, 0)
    for _ in range(2):
        pods.runtime.remove_container(container.id)
    assert pods.runtime.list_containers(container.sandbox_id) == []
    for _ in range(2):
        pods.runtime.stop_pod_sandbox(container.sandbox_id)
    for _ in range(2):
        pods.runtime.remove_pod_sandbox(container.sandbox_id)
    assert sandbox_of(pods, container.sandbox_id) is None


def test_starting_twice_starts_once(pods: Pods) -> None:
    container = pods.sleeper()
    assert pods.runtime.start_container(container.id) == container


def test_what_does_not_exist_is_named(pods: Pods) -> None:
    with pytest.raises(SandboxNotFound, match="sandbox no-such not found"):
        pods.create("true", sandbox="no-such")
    with pytest.raises(ContainerNotFound, match="container abc not found"):
        pods.runtime.container_status("abc")
    with pytest.raises(ContainerNotFound):
        pods.runtime.start_container("abc")


def test_a_stopped_sandbox_stays_listed_and_can_be_made_anew(pods: Pods) -> None:
    old = pods.sleeper()
    uid = old.sandbox_id
    pods.runtime.stop_pod_sandbox(uid)
    assert (sandbox_of(pods, uid).state, sandbox_of(pods, uid).netns_path) == ("not_ready", "")
    assert pods.runtime.container_status(old.id).state == "exited"
    with pytest.raises(ShimGone):
        pods.create("sleep", "1000", sandbox=uid, attempt=1)
    assert (
        pods.runtime.run_pod_sandbox(SandboxConfig(uid, "web", f"kubepods/pod{uid}")).state
        == "ready"
    )
    new = pods.sleeper(sandbox=uid, attempt=1)
    states = {status.id: status.state for status in pods.runtime.list_containers(uid)}
    assert states == {old.id: "exited", new.id: "running"}


def test_exec_gives_output_and_exit_code(pods: Pods) -> None:
    container = pods.sleeper()
    assert pods.run(container, "sh", "-c", "cat; echo err >&2; exit 4", stdin=b"in ") == (
        4,
        "in err\n",
    )
    assert pods.run(container, "sh", "-c", "kill -9 $$")[0] == 137


def test_exec_of_a_missing_command_is_refused(pods: Pods) -> None:
    with pytest.raises(CommandNotFound, match=r'exec: "nope": executable file not found in \$PATH'):
        pods.run(pods.sleeper(), "nope")


def test_exec_needs_a_running_container(pods: Pods) -> None:
    container = pods.sleeper()
    pods.runtime.stop_container(container.id, 0)
    with pytest.raises(ContainerNotRunning):
        pods.run(container, "true")


def test_an_exec_can_be_waited_for_with_a_bound_and_killed(pods: Pods) -> None:
    session = pods.runtime.exec(pods.sleeper().id, ["sleep", "1000"])
    with pytest.raises(TimeoutError):
        session.wait(0.05)
    session.kill()
    assert session.wait(20) == 137
    session.kill()


class Attached:
    """Somebody who is attached to a container's stdin and stdout."""

    def __init__(self, pods: Pods, container: ContainerStatus, *, stdin: bool = False) -> None:
        self.output, theirs_out = os.pipe()
        theirs_in, self.input = os.pipe() if stdin else (None, -1)
        self.session = pods.runtime.attach(container.id, stdin_fd=theirs_in, stdout_fd=theirs_out)
        for fd in (theirs_in, theirs_out):
            if fd is not None:
                os.close(fd)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := os.read(self.output, size - len(data))):
            data += piece
        return data

    def end_stdin(self) -> None:
        os.close(self.input)
        self.input = -1

    def close(self) -> None:
        for fd in (self.output, self.input):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def attach(pods: Pods) -> Iterator[Callable[..., Attached]]:
    made: list[Attached] = []

    def attach(container: ContainerStatus, *, stdin: bool = False) -> Attached:
        made.append(Attached(pods, container, stdin=stdin))
        return made[-1]

    yield attach
    for attached in made:
        attached.close()


def test_all_who_are_attached_hear_the_same_from_then_on(
    pods: Pods, attach: Callable[..., Attached]
) -> None:
    container = pods.start("cat", stdin=True)
    first = attach(container, stdin=True)
    os.write(first.input, b"one\n")
    assert first.read(4) == b"one\n"
    second = attach(container)
    os.write(first.input, b"two\n")
    assert (first.read(4), second.read(4)) == (b"two\n", b"two\n")
    until(lambda: log_text(container) == "one\ntwo\n")


def test_stdin_once_ends_with_the_first_attached(
    pods: Pods, attach: Callable[..., Attached]
) -> None:
    container = pods.start("cat", stdin=True, stdin_once=True)
    attached = attach(container, stdin=True)
    os.write(attached.input, b"all\n")
    attached.end_stdin()
    assert attached.read(100) == b"all\n"
    assert attached.session.wait(20) == 0
    assert pods.ended(container).exit_code == 0


def test_stdin_that_is_not_once_outlives_who_is_attached(
    pods: Pods, attach: Callable[..., Attached]
) -> None:
    container = pods.start("cat", stdin=True)
    first = attach(container, stdin=True)
    first.end_stdin()
    assert first.session.wait(20) == 0
    second = attach(container, stdin=True)
    os.write(second.input, b"again\n")
    assert second.read(6) == b"again\n"


def test_who_does_not_read_is_let_go_and_the_container_goes_on(
    pods: Pods, attach: Callable[..., Attached]
) -> None:
    container = pods.start("cat", stdin=True)
    slow, quick = attach(container), attach(container, stdin=True)
    line = b"x" * 4095 + b"\n"
    for _ in range(100):
        os.write(quick.input, line)
        assert quick.read(len(line)) == line
    assert slow.session.wait(20) == 1
    until(lambda: len(log_text(container)) == 100 * len(line))


def test_detaching_leaves_the_container_alone(pods: Pods, attach: Callable[..., Attached]) -> None:
    container = pods.start("cat", stdin=True)
    attached = attach(container)
    attached.session.kill()
    assert attached.session.wait(20) == 0
    assert attached.read(1) == b""
    assert pods.runtime.container_status(container.id).state == "running"
    pods.runtime.stop_container(container.id, 0)
    with pytest.raises(ContainerNotRunning):
        attach(container)


def test_an_attached_one_hears_of_the_end(pods: Pods, attach: Callable[..., Attached]) -> None:
    container = pods.sleeper()
    attached = attach(container)
    pods.runtime.stop_container(container.id, 0)
    assert attached.session.wait(20) == 0
    assert attached.read(1) == b""


def test_a_reopened_log_goes_on_in_a_new_file(pods: Pods) -> None:
    container = pods.sleeper()
    Path(container.log_path).touch()
    os.rename(container.log_path, f"{container.log_path}.1")
    pods.runtime.reopen_log(container.id)
    assert Path(container.log_path).exists()


def test_a_sandbox_has_stats_of_all_its_containers_while_it_is_ready(pods: Pods) -> None:
    sandbox = pods.sandbox()
    one, two = (pods.sleeper(sandbox=sandbox, name=name) for name in ("one", "two"))
    whole = pods.runtime.sandbox_stats(sandbox)
    assert whole.pids >= 2
    parts = [pods.runtime.container_stats(container.id) for container in (one, two)]
    assert whole.cpu_usage_ns >= max(part.cpu_usage_ns for part in parts)
    pods.runtime.stop_pod_sandbox(sandbox)
    with pytest.raises(RuntimeFailure, match="is not ready"):
        pods.runtime.sandbox_stats(sandbox)


def test_stats_and_updates_are_for_running_containers(pods: Pods) -> None:
    container = pods.sleeper()
    pods.runtime.update_resources(container.id, Resources(cpu_shares=512, memory_bytes=64 << 20))
    stats = pods.runtime.container_stats(container.id)
    assert stats.pids >= 1
    assert 0 < stats.memory_working_set_bytes <= stats.memory_usage_bytes
    assert stats.cpu_usage_ns > 0
    pods.runtime.stop_container(container.id, 0)
    with pytest.raises(ContainerNotRunning):
        pods.runtime.container_stats(container.id)
    with pytest.raises(ContainerNotRunning):
        pods.runtime.update_resources(container.id, Resources(pids=5))
