"""Containers whose root is nobody outside: ids, files and privileges as the kernel has them."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from pathlib import Path

import pytest

from kubelet.runtime import mapped_rootfs
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import IdMapping, Mount
from tests.node.runtime.engine import DEFAULT_CAPABILITIES, Engine, Pods, log_text, until

FIRST = 65_536 * 6_000  # nobody's on this machine
IDS = IdMapping(FIRST)
OWNED = ("pid", "mnt", "net", "ipc", "uts", "cgroup")
_NS_GET_USERNS = 0xB701


def a_sandbox(pods: Pods, **config: object) -> str:
    return pods.sandbox(user_namespace=IDS, **config)


def owner_of(namespace: str) -> tuple[int, int]:
    """Device and inode of the user namespace that owns one (`man 2 ioctl_ns`)."""
    fd = os.open(namespace, os.O_RDONLY)
    try:
        owner = fcntl.ioctl(fd, _NS_GET_USERNS)
    finally:
        os.close(fd)
    found = os.fstat(owner)
    os.close(owner)
    return found.st_dev, found.st_ino


def test_root_inside_is_an_unprivileged_id_outside(pods: Pods) -> None:
    container = pods.sleeper(sandbox=a_sandbox(pods))
    for name in ("uid_map", "gid_map"):
        assert Path(f"/proc/{container.pid}/{name}").read_text().split() == [
            "0", str(FIRST), "65536",
        ]  # fmt: skip
    status = Path(f"/proc/{container.pid}/status").read_text()
    assert f"Uid:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}" in status
    assert pods.sh(container, "id -u; id -g; cat /proc/self/setgroups") == "0\n0\nallow"


def test_every_namespace_of_it_belongs_to_its_user_namespace(pods: Pods) -> None:
    container = pods.sleeper(sandbox=a_sandbox(pods))
    users = os.stat(f"/proc/{container.pid}/ns/user")
    for name in OWNED:
        owner = owner_of(f"/proc/{container.pid}/ns/{name}")
        assert owner == (users.st_dev, users.st_ino), name


def test_two_sandboxes_have_user_namespaces_of_their_own(pods: Pods) -> None:
    one, two = (pods.sleeper(sandbox=a_sandbox(pods)) for _ in range(2))
    links = {os.readlink(f"/proc/{pid}/ns/user") for pid in (one.pid, two.pid, "self")}
    assert len(links) == 3


def test_files_of_the_image_belong_to_root_inside_and_new_ones_to_the_range_outside(
    pods: Pods, tmp_path: Path
) -> None:
    container = pods.sleeper(sandbox=a_sandbox(pods))
    assert pods.sh(container, "stat -c %u /etc/passwd /usr/bin/env /dev /dev/null /").split() == (
        ["0"] * 5
    )
    pods.sh(container, "touch /tmp/new; touch /tmp/other; chown 33:44 /tmp/other; rm /etc/issue")
    found = os.stat(f"/proc/{container.pid}/root/tmp/other")
    assert (found.st_uid, found.st_gid) == (FIRST + 33, FIRST + 44)


def test_layers_of_an_image_are_mapped_and_never_copied(pods: Pods, tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    for layer in (low, high):
        (layer / "data").mkdir(parents=True)
        (layer / "data" / layer.name).write_text(layer.name)
        os.chown(layer / "data" / layer.name, 1000, 1000)
    for name in ("bin", "lib", "lib64"):
        (low / name).symlink_to(f"usr/{name}")
    container = pods.sleeper(
        sandbox=a_sandbox(pods), lower_dirs=[str(low), str(high)],
        mounts=[Mount("/usr", "/usr", readonly=True, ids="any")],
    )  # fmt: skip
    assert pods.sh(container, "stat -c '%n %u' /data/*") == "/data/high 1000\n/data/low 1000"
    pods.sh(container, "echo more >> /data/low; chown 5 /data/high")
    assert (low / "data" / "low").read_text() == "low"
    assert (high / "data" / "high").stat().st_uid == 1000
    assert os.stat(f"/proc/{container.pid}/root/data/high").st_uid == FIRST + 5


def test_privileged_and_read_only_containers_run_inside(pods: Pods) -> None:
    uid = a_sandbox(pods)
    strong = pods.sleeper(sandbox=uid, name="strong", privileged=True)
    assert pods.run(strong, "mount", "-t", "tmpfs", "none", "/mnt")[0] == 0
    assert pods.run(strong, "sh", "-c", "echo 1 > /proc/sys/kernel/panic")[0] != 0
    assert pods.run(strong, "sh", "-c", "head -c1 /dev/vda || head -c1 /dev/sda")[0] != 0
    closed = pods.sleeper(sandbox=uid, name="closed", readonly_rootfs=True)
    assert pods.run(closed, "touch", "/tmp/x")[0] != 0
    assert pods.run(closed, "touch", "/dev/shm/x")[0] == 0


def test_a_volume_has_the_same_ids_inside_and_on_the_disk(pods: Pods, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "mine").write_text("secret")
    os.chown(volume / "mine", 1000, 2000)
    (volume / "mine").chmod(0o600)
    container = pods.sleeper(sandbox=a_sandbox(pods), mounts=[Mount(str(volume), "/v")])
    assert pods.sh(container, "stat -c '%u %g' /v /v/mine; cat /v/mine") == "0 0\n1000 2000\nsecret"
    pods.sh(container, "touch /v/new; chown 7:8 /v/new")
    assert ((volume / "new").stat().st_uid, (volume / "new").stat().st_gid) == (7, 8)


def test_what_cannot_be_mapped_is_refused_or_is_nobodys(pods: Pods) -> None:
    uid = a_sandbox(pods)  # procfs offers no idmapped mounts with any kernel
    with pytest.raises(RuntimeFailure, match="cannot be mapped into a user namespace"):
        pods.create("true", sandbox=uid, mounts=[Mount("/proc/version", "/v")])
    container = pods.sleeper(sandbox=uid, mounts=[Mount("/proc/version", "/v", ids="any")])
    assert pods.sh(container, "stat -c %u /v") == "65534"


def test_a_private_volume_that_cannot_be_mapped_is_given_to_the_range(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.chown(tmp_path / "sub" / "file", 5, 6)
    for _ in range(2):  # safe to repeat
        mapped_rootfs.give_away(str(tmp_path), IDS)
    found = (tmp_path / "sub" / "file").stat()
    assert (found.st_uid, found.st_gid) == (FIRST + 5, FIRST + 6)
    assert tmp_path.stat().st_uid == (tmp_path / "link").lstat().st_uid == FIRST
    assert os.stat("/etc/passwd").st_uid == 0


@pytest.mark.parametrize(
    "attempt",
    [
        "mknod /tmp/disk b 254 0",
        "mount -t tmpfs none /mnt",
        "mount /dev/vda /mnt",
        "umount /dev/shm",
        "umount /usr",
        "mount -o remount,rw /usr && touch /usr/x",
        "hostname other",
        "cat /hostfile",
        "echo x > /hostfile",
        "chown 0 /hostfile",
        "echo 1 > /proc/sys/kernel/panic",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x",
        "nsenter -t 1 -U true",
    ],
)
@pytest.mark.parametrize("power", [[], ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"]])
def test_root_inside_has_no_power_outside(
    pods: Pods, tmp_path: Path, attempt: str, power: list[str]
) -> None:
    if power and attempt in ("mount -t tmpfs none /mnt", "hostname other", "nsenter -t 1 -U true"):
        pytest.skip("it may, in its own namespaces")
    secret = tmp_path / "hostfile"
    secret.write_text("the host's")
    secret.chmod(0o600)
    container = pods.sleeper(
        sandbox=a_sandbox(pods), capabilities=[*DEFAULT_CAPABILITIES, *power],
        mounts=[Mount("/proc/version", "/any", ids="any")],
    )  # fmt: skip
    path = attempt.replace("/hostfile", f"/proc/1/root{secret}")
    assert pods.run(container, "sh", "-c", path)[0] != 0
    assert secret.read_text() == "the host's"


def test_capabilities_count_inside_only(pods: Pods) -> None:
    container = pods.sleeper(
        sandbox=a_sandbox(pods), capabilities=[*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"]
    )
    assert pods.run(container, "mount", "-t", "tmpfs", "none", "/mnt")[0] == 0
    assert pods.run(container, "sh", "-c", "mknod /mnt/null c 1 3")[0] != 0
    assert pods.sh(container, f"kill -9 {os.getpid()} 2>/dev/null; echo alive") == "alive"


def test_another_user_a_terminal_and_mounts_work_inside(pods: Pods) -> None:
    uid = a_sandbox(pods)
    container = pods.sleeper(sandbox=uid, uid=1000, gid=1000, groups=[7], tty=True)
    status = Path(f"/proc/{container.pid}/status").read_text()
    assert f"Uid:\t{FIRST + 1000}" in status
    assert f"Groups:\t{FIRST + 7} " in status
    kinds = "proc sysfs tmpfs devpts mqueue"
    look = "stat -f -c %T /proc /sys /dev /dev/pts /dev/mqueue | tr '\\n' ' '"
    assert pods.sh(container, look) == kinds.strip()
    assert pods.sh(container, "stat -c '%u %g' /dev/console; id -G") == "1000 5\n1000 7"


def test_output_and_exit_codes_come_through(pods: Pods) -> None:
    ended = pods.ended(pods.script("echo out; echo err >&2; exit 3", sandbox=a_sandbox(pods)))
    assert (ended.exit_code, log_text(ended)) == (3, "out\nerr\n")
    missing = pods.start("/nope", sandbox=a_sandbox(pods))
    assert (missing.exit_code, missing.reason) == (127, "StartError")


def test_a_user_beyond_the_range_is_refused(pods: Pods) -> None:
    with pytest.raises(RuntimeFailure, match="user 70000 is not in its user namespace"):
        pods.create("true", sandbox=a_sandbox(pods), uid=70_000)


def test_a_shared_pid_namespace_belongs_to_the_user_namespace(pods: Pods) -> None:
    uid = a_sandbox(pods, shares_pid=True)
    one = pods.sleeper(sandbox=uid, name="one", pid_namespace="pod")
    two = pods.sleeper(sandbox=uid, name="two", pid_namespace="pod")
    assert os.readlink(f"/proc/{one.pid}/ns/pid") == os.readlink(f"/proc/{two.pid}/ns/pid")
    users = os.stat(f"/proc/{one.pid}/ns/user")
    assert owner_of(f"/proc/{one.pid}/ns/pid") == (users.st_dev, users.st_ino)
    assert pods.sh(two, "cat /proc/1/comm") == "podium-init"
    target = pods.sleeper(sandbox=uid, name="d", pid_namespace="target", pid_target_id=one.id)
    assert os.readlink(f"/proc/{target.pid}/ns/pid") == os.readlink(f"/proc/{two.pid}/ns/pid")


def test_it_ends_with_its_shim_and_leaves_nothing(own_engine: Engine, tmp_path: Path) -> None:
    pods = Pods(own_engine.runtime, tmp_path)
    container = pods.sleeper(sandbox=a_sandbox(pods))
    shim = own_engine.runtime.list_pod_sandboxes()[0].shim_pid
    os.kill(shim, signal.SIGKILL)
    assert pods.ended(container).exit_code == 137
    until(lambda: not os.path.exists(f"/proc/{container.pid}"))
    pods.close()
    assert not [line for line in own_engine.find_leftovers() if container.sandbox_id in line]


def test_the_shared_memory_belongs_to_root_inside(pods: Pods) -> None:
    container = pods.sleeper(sandbox=a_sandbox(pods))
    assert pods.sh(container, "stat -c '%u %a' /dev/shm; echo x > /dev/shm/x; cat /dev/shm/x") == (
        "0 1777\nx"
    )
    assert stat.S_ISCHR(os.stat(f"/proc/{container.pid}/root/dev/null").st_mode)
