"""Attempts to get out of a container, each refused. No filter of system calls helps here: every one
of these containers is Unconfined, as root, with the capabilities that Kubernetes gives by default.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Mount
from tests.node.runtime.engine import DEFAULT_CAPABILITIES, Engine, Pods, log_text, until
from tests.support.waiting import PATIENCE

# In a user namespace of its own a process has every capability, over nothing of the host's.
OWN_NAMESPACES = "unshare --user --map-root-user --mount --cgroup --pid --fork"


@pytest.fixture
def jail(pods: Pods) -> ContainerStatus:
    return pods.sleeper()


def is_refused(pods: Pods, container: ContainerStatus, attempt: str) -> bool:
    """The script fails; one that succeeds by mistake says `done`."""
    code, said = pods.run(container, "sh", "-c", attempt)
    assert code != 127, said  # what cannot even be tried
    return code != 0


def python(source: str, *args: object) -> str:
    return shlex.join(["python3", "-c", source, *map(str, args)])


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t ext4 /dev/vda /mnt",
        "mount -t tmpfs none /mnt",
        "mount -t proc proc /mnt",
        "mount -t sysfs sysfs /mnt",
        "mount -t cgroup -o memory cgroup /mnt",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,rw,bind /sys/fs/cgroup",
        "umount /proc/sys",
        "umount /sys/firmware",
        "pivot_root / /mnt",
    ],
)
def test_nothing_is_mounted_or_unmounted(pods: Pods, jail: ContainerStatus, attempt: str) -> None:
    assert is_refused(pods, jail, attempt)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/swappiness",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/module/kernel/parameters/panic",
        "/sys/power/state",
    ],
)
def test_no_file_that_changes_the_host_can_be_written(
    pods: Pods, jail: ContainerStatus, path: str
) -> None:
    assert is_refused(pods, jail, f": >> {path}")
    assert is_refused(pods, jail, f"chmod 777 {path}")


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -o remount,rw,bind /proc/sys && echo /x > /proc/sys/kernel/core_pattern",
        "mount -o remount,rw,bind /sys && echo /x > /sys/kernel/uevent_helper",
        "umount /proc/sys",
        "umount /proc/keys",
        "mount -t proc proc /mnt && echo /x > /mnt/sys/kernel/core_pattern",
        "mkdir /tmp/c && mount -t cgroup -o memory c /tmp/c && echo /x > /tmp/c/release_agent",
        "mkdir /tmp/c && mount -t cgroup -o none,name=x c /tmp/c && echo /x > /tmp/c/release_agent",
        "mount /dev/vda /mnt",
        "mknod /tmp/disk b 254 0",
        "mknod /tmp/kmsg c 1 11",
    ],
)
def test_a_user_namespace_of_ones_own_gives_no_power_over_the_host(
    pods: Pods, jail: ContainerStatus, attempt: str
) -> None:
    """CVE-2022-0492 and its kind."""
    assert pods.sh(jail, f"{OWN_NAMESPACES} echo made") == "made", "what is tried can be tried"
    assert is_refused(pods, jail, f"{OWN_NAMESPACES} sh -c {shlex.quote(attempt)}")


@pytest.mark.parametrize(
    ("node", "kind"),
    [("c 1 1", "mem"), ("c 1 2", "kmem"), ("c 1 4", "port"), ("c 1 11", "kmsg"),
     ("c 10 229", "fuse"), ("c 10 232", "kvm"), ("c 10 200", "tun"),
     ("c 4 0", "tty0"), ("b 7 0", "loop0")],
)  # fmt: skip
def test_a_device_that_was_not_given_cannot_be_opened(
    pods: Pods, jail: ContainerStatus, node: str, kind: str
) -> None:
    said = pods.sh(jail, f"mknod /tmp/{kind} {node} && head -c 1 /tmp/{kind} 2>&1")
    assert "Operation not permitted" in said
    assert pods.sh(jail, f"ls /dev/{kind} 2>/dev/null") == ""


@pytest.mark.parametrize("disk", ["vda", "sda", "nvme0n1", "loop0", "mem", "kmsg", "kvm", "fuse"])
def test_the_hosts_devices_are_not_in_dev(pods: Pods, jail: ContainerStatus, disk: str) -> None:
    assert is_refused(pods, jail, f"test -e /dev/{disk}")


def test_no_raw_socket_without_the_capability(pods: Pods) -> None:
    raw = python("import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)")
    packet = python("import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)")
    without = [name for name in DEFAULT_CAPABILITIES if name != "CAP_NET_RAW"]
    bound, free = pods.sleeper(capabilities=without), pods.sleeper()
    assert is_refused(pods, bound, raw)
    assert is_refused(pods, bound, packet)
    assert not is_refused(pods, free, raw)


def test_another_pods_processes_are_neither_seen_nor_traced(pods: Pods) -> None:
    one, other = pods.sleeper(), pods.sleeper()
    attach = (
        "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) != 0)"
    )
    assert is_refused(pods, one, python(attach, other.pid))
    assert is_refused(pods, one, f"kill -0 {other.pid}")
    assert is_refused(pods, one, f"ls /proc/{other.pid}")


def test_a_container_that_sees_the_hosts_processes_cannot_enter_them(pods: Pods) -> None:
    """hostPID without a capability more."""
    watcher = pods.sleeper(pid_namespace="node")
    shim = next(s.shim_pid for s in pods.runtime.list_pod_sandboxes() if s.id == watcher.sandbox_id)
    for pid in (os.getpid(), shim):
        assert not is_refused(pods, watcher, f"test -d /proc/{pid}")
        for attempt in (f"ls /proc/{pid}/root/", f"ls /proc/{pid}/cwd/", f"cat /proc/{pid}/environ",
                        f"readlink /proc/{pid}/fd/0", f"head -c 1 /proc/{pid}/mem",
                        f"nsenter -t {pid} -m true"):  # fmt: skip
            assert is_refused(pods, watcher, attempt), attempt


def test_handles_of_files_do_not_open_the_hosts_disk(pods: Pods, tmp_path: Path) -> None:
    """open_by_handle_at needs CAP_DAC_READ_SEARCH ("shocker")."""
    container = pods.sleeper(mounts=[Mount(str(tmp_path), "/data")])
    source = (
        "import ctypes, os, struct, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "root = ctypes.create_string_buffer(struct.pack('=IiQ', 8, 1, 2), 64)\n"  # inode 2
        "fd = os.open('/data', os.O_RDONLY)\n"
        "sys.exit(libc.open_by_handle_at(fd, root, 0) < 0)"
    )
    assert is_refused(pods, container, python(source))


def test_keys_of_one_pods_session_are_not_in_anothers(pods: Pods) -> None:
    add = "import ctypes; print(ctypes.CDLL(None).syscall(248, b'user', b'note', b'x', 1, -3))"
    find = "import ctypes; print(ctypes.CDLL(None).syscall(250, 10, -3, b'user', b'note', 0))"
    one, other = pods.script(f"{python(add)}; {python(find)}"), pods.sleeper()
    key = log_text(pods.ended(one)).split()
    assert key[0] == key[1] != "-1"
    assert pods.sh(other, python(find)) == "-1"


def test_nothing_can_overwrite_the_program_that_makes_containers(pods: Pods) -> None:
    """CVE-2019-5736: a container that runs /proc/self/exe runs the host's Python."""
    script = "import os; print(bool(os.statvfs('/proc/self/exe').f_flag & os.ST_RDONLY))"
    assert pods.output_of("", name="probe") == ""
    ran = pods.ended(pods.start("/proc/self/exe", "-c", script))
    assert log_text(ran).split() == ["True"]
    source = (
        "import os\n"
        "fd = os.open('/proc/self/exe', os.O_PATH)\n"
        "os.open(f'/proc/self/fd/{fd}', os.O_WRONLY)"
    )
    assert pods.ended(pods.start("/proc/self/exe", "-c", source)).exit_code == 1


@pytest.mark.parametrize("argument", [[], ["pod"]])
def test_a_started_and_an_execed_process_hold_no_file_but_their_three(
    pods: Pods, argument: list[str]
) -> None:
    """CVE-2024-21626 came of one descriptor too many."""
    shares = bool(argument)
    sandbox = pods.sandbox(shares_pid=shares)
    more = {"pid_namespace": "pod"} if shares else {}
    container = pods.script("ls -l /proc/self/fd; exec sleep 1000", sandbox=sandbox, **more)
    execed = pods.sh(container, "ls /proc/self/fd")
    assert sorted(os.listdir(f"/proc/{container.pid}/fd")) == ["0", "1", "2"]
    assert sorted(execed.split()) == ["0", "1", "2", "3"]  # 3: the directory that ls reads
    assert "/" not in {os.readlink(f"/proc/{container.pid}/fd/{n}") for n in range(3)}


@pytest.mark.parametrize("number", range(3, 12))
def test_a_working_directory_behind_a_descriptor_leads_nowhere(pods: Pods, number: int) -> None:
    try:
        started = pods.start("pwd", "-P", cwd=f"/proc/self/fd/{number}")
    except RuntimeFailure as failure:
        assert f'"/proc/self/fd/{number}"' in str(failure)  # noqa: PT017  # either is fine
    else:
        assert pods.ended(started).reason == "StartError"


def test_dots_in_the_working_directory_end_at_the_root(pods: Pods) -> None:
    assert pods.output_of("pwd", cwd="/../../../usr/../tmp/x") == "/tmp/x\n"


def an_image(path: Path, *links: tuple[str, str]) -> list[str]:
    """A layer with links in it, over the host's programs."""
    for name, target in links:
        (path / name).symlink_to(target)
    for name in ("bin", "lib", "lib64", "sbin"):
        (path / name).symlink_to(f"usr/{name}")
    return [str(path)]


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_an_image_cannot_put_a_link_in_place_of_what_is_protected(
    pods: Pods, tmp_path: Path, name: str
) -> None:
    """CVE-2019-16884, CVE-2019-19921."""
    layers = an_image(tmp_path, (name, "tmp"))
    (tmp_path / "tmp").mkdir()
    with pytest.raises(RuntimeFailure, match=f'"/{name}" in the image is a link'):
        pods.create("true", lower_dirs=layers)


@pytest.mark.parametrize("target", ["/proc", "/proc/self/attr", "/../proc/sys", "/alias/kernel"])
def test_nothing_is_mounted_over_proc(pods: Pods, tmp_path: Path, target: str) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "volume").mkdir()
    layers = an_image(tmp_path / "image", ("alias", "/proc/sys"))
    mounts = [Mount("/usr", "/usr", readonly=True), Mount(str(tmp_path / "volume"), target)]
    with pytest.raises(RuntimeFailure, match="cannot be mounted because it is inside /proc"):
        pods.create("true", lower_dirs=layers, mounts=mounts)


def test_the_hosts_proc_as_a_volume_can_be_read_and_not_written(pods: Pods) -> None:
    container = pods.sleeper(mounts=[Mount("/proc", "/host")])
    assert pods.sh(container, "cat /host/sys/kernel/ostype") == "Linux"
    for path in ("sys/kernel/core_pattern", "sys/kernel/panic", "sysrq-trigger"):
        assert is_refused(pods, container, f": >> /host/{path}"), path
    assert is_refused(pods, container, f"ls /host/{os.getpid()}/root/")


def test_a_terminal_is_the_containers_own(pods: Pods) -> None:
    """What is pushed into it by TIOCSTI stays in the container."""
    container = pods.sleeper(tty=True)
    host = os.stat("/dev/pts").st_dev
    assert os.stat(f"/proc/{container.pid}/fd/0").st_dev != host
    push = "import fcntl; [fcntl.ioctl(0, 0x5412, bytes([c])) for c in b'id\\n']"
    pods.run(container, "python3", "-c", push)
    assert sorted(os.listdir(f"/proc/{container.pid}/fd")) == ["0", "1", "2"]


def test_neither_shim_nor_launcher_can_be_called_from_inside(engine: Engine, pods: Pods) -> None:
    for container in (pods.sleeper(), pods.sleeper(sandbox=pods.sandbox(host_network=True))):
        assert is_refused(pods, container, f"test -e {engine.root}")
        names = pods.sh(container, "cut -d' ' -f9- /proc/net/unix | grep '^@' || true")
        assert not re.search("podium|kubelet", names)


def test_another_pods_files_cannot_be_reached(engine: Engine, pods: Pods) -> None:
    one, other = pods.sleeper(), pods.sleeper()
    assert pods.sh(one, "echo secret > /tmp/note; echo secret > /dev/shm/note; echo ok") == "ok"
    assert pods.sh(other, "ls /tmp /dev/shm") == "/dev/shm:\n\n/tmp:"
    assert pods.sh(
        other, f"find / -xdev -name note 2>/dev/null; ls -d {engine.root}* 2>&1"
    ).endswith("No such file or directory")


# For as long as it is told, look through every process that appears for a file of the host's.
SPY = """
import os, sys, time
end = time.monotonic() + float(sys.argv[2])
seen, met = set(), set()
print('looking', flush=True)
while time.monotonic() < end:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        met.add(pid)
        if os.path.exists(f'/proc/{pid}/root{sys.argv[1]}'):
            seen.add(pid)
print(len(met), len(seen))
"""


def test_who_may_trace_reaches_no_host_through_what_is_execed_beside_it(
    engine: Engine, pods: Pods
) -> None:
    """With CAP_SYS_PTRACE /proc/<pid>/root of a process that is still being made can be entered."""
    capabilities = [*DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"]
    seconds = str(3 * PATIENCE)
    spy = pods.start("python3", "-c", SPY, engine.root, seconds, capabilities=capabilities)
    until(lambda: "looking" in log_text(spy))
    for _ in range(20):
        assert pods.run(spy, "true")[0] == 0
    met, seen = log_text(pods.ended(spy)).split()[1:]
    assert int(met) > 5, "it has met processes that were exec'ed"
    assert int(seen) == 0


def test_who_may_trace_reaches_no_host_through_what_is_created_beside_it(
    engine: Engine, pods: Pods
) -> None:
    """In a Pod whose containers share a PID namespace, or in one that a debugger joins."""
    sandbox = pods.sandbox(shares_pid=True)
    more: dict[str, Any] = {"sandbox": sandbox, "pid_namespace": "pod"}
    capabilities = [*DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"]
    spy = pods.start(
        "python3", "-c", SPY, engine.root, str(4 * PATIENCE),
        name="spy", capabilities=capabilities, **more,
    )  # fmt: skip
    until(lambda: "looking" in log_text(spy))
    for number in range(8):
        pods.ended(pods.start("true", name=f"n{number}", **more))
    joined = {"sandbox": sandbox, "pid_namespace": "target", "pid_target_id": spy.id}
    pods.ended(pods.start("true", name="debugger", **joined))
    met, seen = log_text(pods.ended(spy)).split()[1:]
    assert int(met) > 5, "it has met processes that were started"
    assert int(seen) == 0


def test_an_execed_process_never_has_more_than_its_container(pods: Pods) -> None:
    """Also under a filter, and with a terminal."""
    status = "grep -E '^(Cap|NoNew|Seccomp:|Uid|PPid|NSpid)' /proc/self/status"
    container = pods.sleeper(uid=1000, capabilities=["CAP_SYS_PTRACE"], no_new_privileges=True)
    found = dict(re.findall(r"(\w+):\s+(\S+)", pods.sh(container, status)))
    assert (found["CapEff"], found["Uid"], found["NoNewPrivs"]) == ("0" * 16, "1000", "1")
    assert found["CapBnd"] == f"{1 << 19:016x}"
