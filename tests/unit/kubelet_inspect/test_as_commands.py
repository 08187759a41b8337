"""From the operations that were recorded to lines of shell."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from kubelet.inspect.as_commands import NotRepeatable, Subject, script
from kubelet.runtime import operations, syscalls
from kubelet.runtime.protocol import Operations

ID = "ab" * 32
DIRECTORY = f"/var/lib/podium/sandboxes/uid/containers/{ID}"
CGROUP = "/sys/fs/cgroup/cpu/podium-1/kubepods/poduid"
SANDBOX = [("unshare", syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWNET), ("sethostname", "web")]


def written(*container: tuple[Any, ...], sandbox: list[tuple[Any, ...]] = SANDBOX) -> list[str]:
    done = Operations(sandbox, list(container), DIRECTORY, "/shm/uid", "podium-1/kubepods/poduid")
    subject = Subject("default/web", "main", "node-1", 77, "container")
    text = script(subject, done, None)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)  # it is shell
    return text.splitlines()


def test_a_limit_is_written_into_a_cgroup_of_the_scripts_own() -> None:
    own = f"{CGROUP}/{ID}"
    lines = written(("make_cgroup", own), ("write", f"{own}/cpu.shares", "102"), ("clone", 0))
    assert 'mkdir -p /sys/fs/cgroup/cpu/"$NAME"/container' in lines
    assert 'echo 102 > /sys/fs/cgroup/cpu/"$NAME"/container/cpu.shares' in lines
    assert not [line for line in lines if "podium-1" in line]


def test_a_cgroup_above_the_pods_is_left_alone() -> None:
    above = "/sys/fs/cgroup/podium-1/kubepods/cgroup.subtree_control"
    assert not [line for line in written(("write", above, "+cpu"), ("clone", 0)) if "+cpu" in line]


def test_a_volume_is_taken_before_and_given_after_the_root_is_made() -> None:
    lines = written(
        ("clone", syscalls.CLONE_NEWPID), ("unshare", syscalls.CLONE_NEWCGROUP),
        ("open_tree", 5, "/srv/it's", True), ("make_readonly", 5, False),
        ("pivot_root", ".", "."), ("move_mount", 5, "/data"),
    )  # fmt: skip
    taken = lines.index("""take '/srv/it'"'"'s' "$RUN"/tree/1""")
    assert lines[taken + 1] == 'read_only "$RUN"/tree/1'
    assert lines.index('give "$RUN"/tree/1 "$ROOT"/data') > taken


def test_words_of_a_container_are_never_shell() -> None:
    lines = written(
        ("clone", 0), ("unshare", syscalls.CLONE_NEWCGROUP), ("pivot_root", ".", "."),
        ("mkdir", "/x; rm -rf $(y)", 0o755), ("execve", "/bin/sh", ["sh", "-c", "'\n\"$z"]),
        sandbox=[*SANDBOX, ("sethostname", "a; reboot")],
    )  # fmt: skip
    assert """mkdir -p -m 755 "$ROOT"'/x; rm -rf $(y)'""" in lines
    assert """nsenter --target "$SANDBOX" --uts -- hostname 'a; reboot'""" in lines
    assert "os.execve('/bin/sh', ['sh', '-c', '\\'\\n\"$z'], env)" in lines


def test_what_is_in_a_user_namespace_is_made_outside_of_it_and_then_entered() -> None:
    lines = written(
        ("clone", syscalls.CLONE_NEWNS), ("open_tree", 5, "/srv", True), ("map_ids", 5),
        ("chroot", "."), ("mkdir", "/data", 0o755), ("chown", "/data", 65536),
        ("move_mount", 5, "/data"), ("chroot", "."), ("setns", syscalls.CLONE_NEWUSER),
        ("clone", syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID), ("new_mount", 6, "proc", 2),
        ("pivot_root", ".", "."), ("move_mount", 6, "/proc"),
        sandbox=[("user_namespace", 65536, 65536, syscalls.CLONE_NEWIPC)],
    )  # fmt: skip
    order = [
        "unshare --ipc --user -- sleep infinity & HOLDER=$!",
        'echo "0 65536 65536" > "/proc/$SANDBOX/uid_map"',
        'map_ids "$RUN"/tree/1', 'chown -h 65536:65536 "$ROOT"/data',
        'give "$RUN"/tree/1 "$ROOT"/data',
        'exec nsenter --target "$SANDBOX" --user -- unshare --mount --propagation unchanged --pid '
        '--fork --kill-child -- bash "$RUN/inside.sh"',
        'mount -t proc -o nosuid proc "$ROOT"/proc',
    ]  # fmt: skip
    assert [line for line in lines if line in order] == order


def test_the_devices_of_all_containers_are_those_of_the_script_s_cgroup() -> None:
    lines = written(("inherit_devices", "/sys/fs/cgroup/devices/podium-1/shims"), ("clone", 0))
    own = '/sys/fs/cgroup/devices/"$NAME"/container'
    assert f"mkdir -p {own}; echo a > {own}/devices.deny" in lines
    assert f"echo 0 > {own}/cgroup.procs" in lines


def test_a_record_that_is_cut_off_is_refused() -> None:
    with pytest.raises(NotRepeatable):
        written(("cut off",))


def test_what_is_recorded_is_bounded_and_says_so() -> None:
    operations.begin()
    for _ in range(3 * operations.MAX_OPERATIONS):
        operations.note("mkdir", "/a/rather/long/path" * 20, 0o755)
    line = operations.packed(operations.end())
    assert len(line) <= operations.MAX_BYTES
    assert operations.unpacked(line.decode())[-1] == ("cut off",)
    operations.note("mkdir", "/nobody/records", 0)
    assert operations.end() == []
