"""Whose processes a container sees, and what ends with what: read from /proc on the host."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kubelet.runtime.errors import RuntimeFailure
from tests.node.runtime.engine import DEFAULT_CAPABILITIES, Pods, until


def pid_namespace(pid: int | str) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def inits(uid: str) -> list[int]:
    """The processes that hold a sandbox's PID namespace, by their titles."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:
            continue
        if title.startswith(b"podium-init") and uid.encode() in title:
            found.append(int(path.parent.name))
    return found


def processes_of(container_id: str) -> str:
    return "".join(
        path.read_text() for path in Path("/sys/fs/cgroup").glob(f"**/{container_id}/cgroup.procs")
    )


def test_containers_of_a_pod_that_shares_its_pids_see_each_other(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    one = pods.sleeper(sandbox=uid, name="one", pid_namespace="pod")
    two = pods.sleeper(sandbox=uid, name="two", pid_namespace="pod")
    (init,) = inits(uid)
    assert pid_namespace(one.pid) == pid_namespace(two.pid) == pid_namespace(init)
    assert pid_namespace(init) != pid_namespace("self")
    seen = pods.sh(two, "cat /proc/[0-9]*/comm").split()
    assert seen.count("sleep") == 2
    assert seen[0] == "podium-init"
    pods.sh(one, "echo from one > /tmp/note")
    assert pods.sh(two, "cat /proc/$(pgrep -o sleep)/root/tmp/note") == "from one"


def test_in_a_shared_namespace_a_process_may_write_its_own_files_in_proc(pods: Pods) -> None:
    """The /proc that it got is that of the init, whose own mount is read-only."""
    uid = pods.sandbox(shares_pid=True)
    main = pods.sleeper(sandbox=uid, pid_namespace="pod")
    score = "/proc/self/oom_score_adj"
    assert pods.sh(main, f"echo 999 > {score}; cat {score}") == "999"


def test_each_of_them_ends_alone_and_with_all_its_processes(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    one = pods.script(
        "setsid sleep 1001 & sleep 0.1; exit 7", sandbox=uid, name="one", pid_namespace="pod"
    )
    two = pods.sleeper(sandbox=uid, name="two", pid_namespace="pod")
    assert pods.ended(one).exit_code == 7
    assert processes_of(one.id) == ""
    assert "sleep 1001" not in pods.sh(two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert pods.runtime.container_status(two.id).state == "running"


def test_what_is_orphaned_in_a_shared_namespace_is_reaped(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    one = pods.script(
        "(sleep 0.05 &) ; exec sleep 1000", sandbox=uid, name="one", pid_namespace="pod"
    )
    until(lambda: len(pods.sh(one, "pgrep sleep").split()) == 1)


@pytest.mark.parametrize("path", ["root/", "cwd/", "exe", "fd/0", "environ"])
def test_the_init_of_a_shared_namespace_leads_nowhere(pods: Pods, path: str) -> None:
    uid = pods.sandbox(shares_pid=True)
    main = pods.sleeper(sandbox=uid, pid_namespace="pod")
    assert pods.run(main, "cat", f"/proc/1/{path}")[0] != 0
    (init,) = inits(uid)
    assert os.listdir(f"/proc/{init}/root") == ["proc"]  # for containers to take
    mounts = Path(f"/proc/{init}/mountinfo").read_text().splitlines()
    assert all(" ro," in line for line in mounts)
    assert os.listdir(f"/proc/{init}/fd") == ["0"]
    status = Path(f"/proc/{init}/status").read_text()
    assert "CapPrm:\t0000000000000000" in status
    assert "Uid:\t65535\t65535\t65535\t65535" in status


def test_a_container_cannot_end_the_namespace_it_shares(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    main = pods.sleeper(sandbox=uid, pid_namespace="pod")
    pods.sh(main, "for s in TERM INT KILL HUP CHLD; do kill -$s 1; done")
    assert pods.sh(main, "echo alive") == "alive"


def test_a_sandbox_whose_init_was_killed_is_lost_and_says_so(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    main = pods.sleeper(sandbox=uid, pid_namespace="pod")
    os.kill(inits(uid)[0], signal.SIGKILL)
    assert pods.ended(main).exit_code == 137
    until(lambda: pods.has_event("sandbox_exited", uid))
    until(lambda: not inits(uid))


def test_the_init_ends_with_its_shim(pods: Pods) -> None:
    uid = pods.sandbox(shares_pid=True)
    shim = next(s.shim_pid for s in pods.runtime.list_pod_sandboxes() if s.id == uid)
    os.kill(shim, signal.SIGKILL)
    until(lambda: not inits(uid))


def test_a_debugger_sees_the_processes_of_its_target_only(pods: Pods) -> None:
    uid = pods.sandbox()
    target = pods.sleeper(sandbox=uid, name="target")
    pods.sleeper(sandbox=uid, name="other")
    debugger = pods.sleeper(
        sandbox=uid, name="debugger", pid_namespace="target", pid_target_id=target.id,
        capabilities=[*DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"],
    )  # fmt: skip
    assert pid_namespace(debugger.pid) == pid_namespace(target.pid)
    assert pods.sh(debugger, "cat /proc/1/comm; pgrep -c sleep") == "sleep\n2"
    pods.sh(target, "echo mine > /tmp/note")
    assert pods.sh(debugger, "cat /proc/1/root/tmp/note") == "mine"
    pods.runtime.stop_container(debugger.id, 0)
    assert pods.runtime.container_status(target.id).state == "running"


def test_a_debugger_of_a_target_that_has_ended_is_refused(pods: Pods) -> None:
    uid = pods.sandbox()
    target = pods.ended(pods.script("true", sandbox=uid, name="target"))
    with pytest.raises(RuntimeFailure, match="is not running"):
        pods.create("true", sandbox=uid, name="d", pid_namespace="target", pid_target_id=target.id)
