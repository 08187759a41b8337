"""How containers begin and end, what they may use, and what they leave in their logs."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from kubelet.runtime.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, ExecSession, Resources
from tests.node.runtime.engine import WAIT_S, Pods, log_text, until

POLITE = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.02; done"
DEAF = "trap '' TERM; echo up; while :; do sleep 0.02; done"


def wait_for_output(pods: Pods, container: ContainerStatus, text: str) -> None:
    until(lambda: text in Path(container.log_path).read_text())


# Ends


def test_the_stop_signal_comes_first_and_may_be_obeyed(pods: Pods) -> None:
    container = pods.script(POLITE)
    wait_for_output(pods, container, "up")
    pods.runtime.stop_container(container.id, 30)
    ended = pods.runtime.container_status(container.id)
    assert (ended.exit_code, ended.reason) == (7, "Error")
    assert "bye" in log_text(ended)


def test_who_ignores_the_stop_signal_is_killed_after_the_grace_period(pods: Pods) -> None:
    container = pods.script(DEAF)
    wait_for_output(pods, container, "up")
    began = time.monotonic()
    pods.runtime.stop_container(container.id, 0.5)
    assert time.monotonic() - began >= 0.5
    assert pods.runtime.container_status(container.id).exit_code == 137


def test_a_second_stop_may_shorten_the_grace_period(pods: Pods) -> None:
    container = pods.script(DEAF)
    wait_for_output(pods, container, "up")
    patient = threading.Thread(target=pods.runtime.stop_container, args=(container.id, 600))
    patient.start()
    pods.runtime.stop_container(container.id, 0.1)
    patient.join(WAIT_S)
    assert not patient.is_alive()
    assert pods.runtime.container_status(container.id).exit_code == 137


def test_another_stop_signal_is_used_if_given(pods: Pods) -> None:
    script = "trap 'exit 9' USR1; echo up; while :; do sleep 0.02; done"
    container = pods.script(script, stop_signal=signal.SIGUSR1)
    wait_for_output(pods, container, "up")
    pods.runtime.stop_container(container.id, 30)
    assert pods.runtime.container_status(container.id).exit_code == 9


def test_everything_in_a_container_ends_with_its_first_process(pods: Pods) -> None:
    container = pods.script(
        "(setsid sleep 1003 &) ; sleep 1004 & echo up; read x < /dev/zero; wait"
    )
    wait_for_output(pods, container, "up")
    pids = [int(pid) for pid in _all_pids_in(container)]
    assert len(pids) >= 3
    pods.runtime.stop_container(container.id, 0)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def _all_pids_in(container: ContainerStatus) -> list[str]:
    space = os.readlink(f"/proc/{container.pid}/ns/pid")
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _pid_space(pid) == space]


def _pid_space(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""  # it ended while we looked


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        (["/nope/x"], 127, 'exec: "/nope/x": stat /nope/x: no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 126, 'exec: "/etc": is a directory'),
    ],
)
def test_a_command_that_cannot_run_is_a_start_error(
    pods: Pods, argv: list[str], code: int, message: str
) -> None:
    ended = pods.start(*argv)
    assert (ended.state, ended.exit_code, ended.reason, ended.message) == (
        "exited", code, "StartError", message,
    )  # fmt: skip


def test_a_working_directory_that_may_not_be_entered_is_a_start_error(pods: Pods) -> None:
    ended = pods.start("true", cwd="/root", uid=1234)
    assert (ended.exit_code, ended.reason) == (128, "StartError")
    assert ended.message == 'chdir "/root": permission denied'


def test_a_container_that_was_never_started_can_be_removed(pods: Pods) -> None:
    created = pods.create("sleep", "1000")
    pid = pods.runtime.container_status(created).pid
    pods.runtime.remove_container(created)
    until(lambda: not os.path.exists(f"/proc/{pid}"))


# Limits


def test_memory_over_the_limit_is_oomkilled_with_137(pods: Pods) -> None:
    eat = "python3 -c 'x = bytearray(200 << 20); print(len(x))'"
    ended = pods.ended(pods.script(f"exec {eat}", resources=Resources(memory_bytes=64 << 20)))
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


def test_memory_within_the_limit_is_left_alone(pods: Pods) -> None:
    eat = "exec python3 -c 'x = bytearray(20 << 20)'"
    ended = pods.ended(pods.script(eat, resources=Resources(memory_bytes=64 << 20)))
    assert (ended.exit_code, ended.reason) == (0, "Completed")


def test_half_a_core_is_half_a_core_within_five_percent(pods: Pods) -> None:
    quota = Resources(cpu_quota_us=50_000, cpu_period_us=100_000)
    spinner = pods.script("while :; do :; done", resources=quota)
    before, began = pods.runtime.container_stats(spinner.id), time.monotonic()
    time.sleep(2)  # what is measured is time itself
    used_ns = pods.runtime.container_stats(spinner.id).cpu_usage_ns - before.cpu_usage_ns
    share = used_ns / 1e9 / (time.monotonic() - began)
    assert share < 0.525
    assert share > 0.3  # a busy test machine may give less, never more


def test_a_fork_bomb_stops_at_the_pids_limit(pods: Pods) -> None:
    bomb = pods.script(
        "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; echo survived",
        resources=Resources(pids=20),
    )
    until(lambda: "fork" in Path(bomb.log_path).read_text().lower())
    if pods.runtime.container_status(bomb.id).state == "running":
        assert pods.runtime.container_stats(bomb.id).pids <= 20
    pods.runtime.remove_container(bomb.id)


def test_limits_can_be_raised_and_lowered_while_it_runs(pods: Pods) -> None:
    container = pods.sleeper(resources=Resources(memory_bytes=64 << 20, pids=50))
    for size in (256 << 20, 32 << 20):
        pods.runtime.update_resources(container.id, Resources(memory_bytes=size, pids=40))
        inside = (
            "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
        )
        assert pods.sh(container, inside) == str(size)


def test_a_memory_limit_too_low_to_begin_with_is_told(pods: Pods) -> None:
    with pytest.raises(RuntimeFailure, match="limit is too low"):
        pods.create("true", resources=Resources(memory_bytes=200 << 10))


# Logs


def test_both_streams_are_logged_in_the_cri_format(pods: Pods) -> None:
    ended = pods.ended(pods.script("echo out; echo err >&2; printf no-newline"))
    lines = Path(ended.log_path).read_text().splitlines()
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    found = sorted(re.fullmatch(rf"{when} (\w+ [FP] .*)", line)[1] for line in lines)  # type: ignore[index]
    assert found == ["stderr F err", "stdout F out", "stdout P no-newline"]


def test_a_long_line_is_cut_into_partial_records_and_nothing_is_lost(pods: Pods) -> None:
    ended = pods.ended(pods.script("head -c 50000 /dev/zero | tr '\\0' x; echo; echo end"))
    assert log_text(ended) == "x" * 50_000 + "\nend\n"
    assert max(map(len, Path(ended.log_path).read_bytes().splitlines())) < 16_384 + 60


def test_the_beginning_of_a_line_is_shown_before_its_end_comes(pods: Pods) -> None:
    container = pods.script("printf 'password: '; sleep 1000")
    wait_for_output(pods, container, "stdout P password: \n")


def test_much_output_just_before_the_end_is_not_lost(pods: Pods) -> None:
    ended = pods.ended(pods.script("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done"))
    assert log_text(ended).splitlines()[-1] == "line 4999"
    assert len(log_text(ended).splitlines()) == 5000


def test_after_rotation_output_goes_on_in_the_new_file(pods: Pods) -> None:
    container = pods.script("while :; do echo tick; sleep 0.02; done")
    wait_for_output(pods, container, "tick")
    os.rename(container.log_path, f"{container.log_path}.1")
    pods.runtime.reopen_log(container.id)
    wait_for_output(pods, container, "tick")


def test_a_full_disk_loses_output_but_not_the_container(pods: Pods) -> None:
    script = "echo gone; echo gone too; touch /tmp/wrote; exec sleep 1000"
    container = pods.script(script, log_path="/dev/full")
    until(lambda: pods.sh(container, "ls /tmp") == "wrote")
    assert pods.runtime.container_status(container.id).state == "running"


def test_standard_input_stays_open_and_silent_if_asked_for(pods: Pods) -> None:
    container = pods.start("cat", stdin=True)
    assert pods.run(container, "true")[0] == 0
    assert pods.runtime.container_status(container.id).state == "running"
    assert pods.ended(pods.start("cat")).exit_code == 0


def test_a_container_can_have_a_terminal_whose_output_is_logged(pods: Pods) -> None:
    ended = pods.ended(pods.script("tty; stty size; echo to-console > /dev/console", tty=True))
    text = log_text(ended).replace("\r", "")
    assert text.splitlines() == ["/dev/pts/0", "24 80", "to-console"]


# Exec


def test_exec_runs_inside_with_the_containers_limits_and_user(pods: Pods) -> None:
    container = pods.sleeper(
        uid=1234, capabilities=["CAP_CHOWN"], env={"PATH": "/usr/bin:/bin", "A": "b"}
    )
    assert (
        pods.sh(
            container, "echo $A; id -u; readlink /proc/self/ns/mnt /proc/1/ns/mnt | sort -u | wc -l"
        )
        == "b\n1234\n1"
    )
    assert pods.sh(container, "cat /proc/self/cgroup | cut -d: -f3 | sort -u") == "/"


def test_exec_of_what_cannot_run_says_why(pods: Pods) -> None:
    container = pods.sleeper()
    with pytest.raises(CommandNotExecutable, match="permission denied"):
        pods.run(container, "/etc/passwd")
    with pytest.raises(CommandNotFound, match="no such file or directory"):
        pods.run(container, "/nope")


def test_exec_ends_with_its_container(pods: Pods) -> None:
    container = pods.sleeper()
    session = pods.runtime.exec(container.id, ["sleep", "1000"])
    pods.runtime.stop_container(container.id, 0)
    assert session.wait(WAIT_S) == 137


def test_an_exec_that_is_killed_takes_with_it_what_it_has_started(pods: Pods) -> None:
    container = pods.sleeper()

    def sleepers() -> list[str]:
        return re.findall(r"sleep.(100[123])\0", pods.sh(container, "cat /proc/[0-9]*/cmdline"))

    script = "sleep 1001 & setsid sleep 1002 & sleep 1003"
    session = pods.runtime.exec(container.id, ["sh", "-c", script])
    until(lambda: {"1001", "1002", "1003"} <= set(sleepers()))
    session.kill()
    assert session.wait(WAIT_S) == 137
    until(lambda: sleepers() == [])


def test_every_exec_ends_whatever_its_container_did_while_it_began(pods: Pods) -> None:
    for round_ in range(6):
        container = pods.sleeper()
        ends: list[object] = []

        def run(container: ContainerStatus = container, ends: list[object] = ends) -> None:
            try:
                ends.append(pods.run(container, "sleep", "1000")[0])
            except RuntimeFailure as failure:
                ends.append(failure)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        threading.Event().wait(0.004 * round_)  # another moment each time
        pods.runtime.stop_container(container.id, 0)
        for thread in threads:
            thread.join(WAIT_S)
        assert len(ends) == 4
        assert all(end == 137 or isinstance(end, RuntimeFailure) for end in ends)


def test_an_exec_that_leaves_a_process_behind_ends_when_it_ends(pods: Pods) -> None:
    container = pods.sleeper()
    assert pods.run(container, "sh", "-c", "setsid sleep 1005 & exit 6")[0] == 6
    assert "1005" in pods.sh(container, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


class Terminal:
    """The caller's end of an exec with a terminal."""

    def __init__(self, pods: Pods, container: ContainerStatus, *argv: str) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(WAIT_S)
        with theirs:
            self.session: ExecSession = pods.runtime.exec(
                container.id, list(argv), stdin_fd=theirs.fileno(), tty=True
            )
        self.text = ""

    def read_until(self, text: str) -> None:
        while text not in self.text:
            data = self.channel.recv(4096)
            assert data, f"the terminal ended with {self.text!r}"
            self.text += data.decode()


def test_exec_with_a_terminal_echoes_resizes_and_ends(pods: Pods) -> None:
    terminal = Terminal(pods, pods.sleeper(), "sh")
    with terminal.channel:
        terminal.channel.sendall(b"tty; echo $((40+2))\n")
        terminal.read_until("/dev/pts/0")
        terminal.read_until("\r\n42\r\n")
        terminal.session.resize(101, 33)
        terminal.channel.sendall(b"stty size\n")
        terminal.read_until("33 101")
        terminal.channel.sendall(b"exit 5\n")
        assert terminal.session.wait(WAIT_S) == 5
        while terminal.channel.recv(4096):
            pass


def test_much_terminal_output_arrives_whole_though_its_reader_is_slow(pods: Pods) -> None:
    terminal = Terminal(pods, pods.sleeper(), "sh", "-c", "seq 1 200000")
    with terminal.channel:
        time.sleep(0.2)  # the reader is slow: buffers are full by now
        received = b""
        while data := terminal.channel.recv(65_536):
            received += data
    assert terminal.session.wait(WAIT_S) == 0
    assert received.split()[-1] == b"200000"
    assert len(received.split()) == 200_000


def test_a_terminal_hangs_up_when_its_caller_goes_away(pods: Pods) -> None:
    terminal = Terminal(pods, pods.sleeper(), "sleep", "1000")
    terminal.channel.close()
    assert terminal.session.wait(WAIT_S) == 128 + signal.SIGHUP


def test_exec_and_container_calls_leak_no_descriptors(pods: Pods) -> None:
    container = pods.sleeper()
    shim = next(
        s.shim_pid for s in pods.runtime.list_pod_sandboxes() if s.id == container.sandbox_id
    )
    pods.run(container, "true")
    before = len(os.listdir(f"/proc/{shim}/fd")), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        pods.run(container, "true")
        again = pods.sleeper(sandbox=container.sandbox_id, name="again")
        pods.runtime.remove_container(again.id)
    assert (len(os.listdir(f"/proc/{shim}/fd")), len(os.listdir("/proc/self/fd"))) == before


def test_a_shim_is_small(pods: Pods) -> None:
    """Private memory: what a shim costs beyond what it shares with the launcher."""
    container = pods.sleeper()
    shim = next(
        s.shim_pid for s in pods.runtime.list_pod_sandboxes() if s.id == container.sandbox_id
    )
    rollup = Path(f"/proc/{shim}/smaps_rollup").read_text()
    assert Path(f"/proc/{shim}/comm").read_text() == "podium-shim\n"
    private_kib = int(re.search(r"Private_Dirty:\s+(\d+)", rollup)[1])  # type: ignore[index]
    assert private_kib < 6 * 1024
