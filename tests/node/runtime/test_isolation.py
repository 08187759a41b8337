"""What a container is, and what it cannot do: read from inside and from the kernel's own files."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Device, Mount
from tests.node.runtime.engine import Pods, log_text
from tests.support.disk import Disk

NAMESPACES = ("pid", "mnt", "net", "ipc", "uts", "cgroup")


def namespaces_of(pid: int | str) -> dict[str, str]:
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def test_pid_1_is_the_containers_own_process(pods: Pods) -> None:
    container = pods.sleeper()
    assert pods.sh(container, "tr '\\0' ' ' < /proc/1/cmdline") == "sleep 1000"
    assert pods.sh(container, "ls -d /proc/[0-9]* | wc -l") in ("3", "4")  # sleep, sh, ls, wc


def test_all_namespaces_differ_from_the_hosts_and_another_pods(pods: Pods) -> None:
    one, two = namespaces_of(pods.sleeper().pid), namespaces_of(pods.sleeper().pid)
    host = namespaces_of("self")
    for name in NAMESPACES:
        assert len({one[name], two[name], host[name]}) == 3, name


def test_containers_of_a_sandbox_share_network_ipc_and_uts_with_the_shim(pods: Pods) -> None:
    uid = pods.sandbox()
    one = pods.sleeper(sandbox=uid, name="one")
    two = pods.sleeper(sandbox=uid, name="two")
    shim = next(s.shim_pid for s in pods.runtime.list_pod_sandboxes() if s.id == uid)
    views = [namespaces_of(pid) for pid in (one.pid, two.pid, shim)]
    shared = {name for name in NAMESPACES if len({view[name] for view in views}) == 1}
    assert shared == {"net", "ipc", "uts"}
    assert pods.sh(one, "echo from one > /dev/shm/note; sync") == ""
    assert pods.sh(two, "cat /dev/shm/note") == "from one"


def test_the_hostname_is_the_sandboxs(pods: Pods) -> None:
    assert pods.sh(pods.sleeper(sandbox=pods.sandbox("mail")), "hostname") == "mail"


def test_host_network_shares_the_hosts_network_and_leaves_its_name_alone(pods: Pods) -> None:
    name = os.uname().nodename
    container = pods.sleeper(sandbox=pods.sandbox(host_network=True))
    inside, host = namespaces_of(container.pid), namespaces_of("self")
    assert {n for n in NAMESPACES if inside[n] == host[n]} == {"net", "uts"}
    assert os.uname().nodename == name
    assert os.access("/sys/kernel", os.W_OK), "mounting /sys read-only inside left the host's alone"


def test_host_pid_sees_the_host_and_still_ends_as_a_whole(pods: Pods) -> None:
    container = pods.script("sleep 1001 & exec sleep 1000", pid_namespace="node")
    assert namespaces_of(container.pid)["pid"] == namespaces_of("self")["pid"]
    assert pods.sh(container, f"kill -0 {os.getpid()} && echo seen") == "seen"
    cgroup = Path(f"/proc/{container.pid}/cgroup").read_text()
    path = re.search(r"(podium-\S+/[0-9a-f]{64})", cgroup)
    assert path
    pods.runtime.stop_container(container.id, 0)
    assert not [
        f for f in Path("/sys/fs/cgroup").glob(f"**/{path[1]}/cgroup.procs") if f.read_text()
    ]


def test_dev_has_what_programs_expect(pods: Pods) -> None:
    container = pods.sleeper()
    script = "head -c 3 /dev/zero | wc -c; echo x > /dev/null; echo x > /dev/full; true"
    assert pods.sh(container, script).startswith("3")
    assert pods.sh(container, "readlink /dev/fd /dev/stdout /dev/ptmx").split() == [
        "/proc/self/fd", "/proc/self/fd/1", "pts/ptmx",
    ]  # fmt: skip
    assert (
        pods.sh(container, "stat -c %a /tmp /dev/shm; stat -f -c %T /dev/mqueue")
        == "1777\n1777\nmqueue"
    )


def test_proc_and_sys_are_read_only_where_they_change_the_host(pods: Pods) -> None:
    container = pods.sleeper()
    for attempt in (
        "echo 1 > /proc/sys/kernel/panic", "echo b > /proc/sysrq-trigger", "mkdir /sys/fs/cgroup/x",
        "echo 1 > /sys/kernel/mm/ksm/run", "touch /proc/fs/x", "touch /usr/x",
    ):  # fmt: skip
        assert (
            pods.sh(container, f"({attempt}) 2>/dev/null && echo done || echo refused") == "refused"
        ), attempt
    assert (
        pods.sh(container, "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c") == "0"
    )
    assert pods.sh(container, "ls /sys/firmware | wc -l") == "0"


HERE = Path(__file__).parent  # a directory of the host that no container has

# init_module(2) of rubbish: ENOEXEC for who may load modules, EPERM (1) for others, and ENOSYS (38)
# from a kernel that has no modules
LOAD_MODULE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(175, b"x", 1, b"")
raise SystemExit(ctypes.get_errno() in (1, 38))
"""


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "mount --bind / /mnt",
        "umount /proc/sys",
        "unshare -m true",
        "hostname changed",
        "mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
        "mknod /tmp/mem c 1 1 && head -c1 /tmp/mem",
        f"ls /proc/1/root{HERE}",
        f"nsenter -t 1 -m ls {HERE}",
        "swapoff -a && date -s 2001-01-01",
        f"chroot /proc/1/root ls {HERE}",
        f"python3 -c '{LOAD_MODULE}'",
        "dmesg -C",
    ],
)
def test_an_attempt_to_get_out_is_refused(pods: Pods, attempt: str) -> None:
    said = pods.output_of(f"({attempt}) >/dev/null 2>&1 && echo done || echo refused")
    assert said == "refused\n"


def test_the_hosts_disk_cannot_be_opened_though_nodes_can_be_made(pods: Pods) -> None:
    disk = os.stat("/").st_dev
    numbers = f"{os.major(disk)} {os.minor(disk)}"
    container = pods.sleeper()
    assert pods.sh(container, f"mknod /tmp/disk b {numbers} && echo made") == "made"
    assert "not permitted" in pods.sh(container, "head -c 1 /tmp/disk")
    assert pods.sh(container, "head -c 1 /dev/zero | wc -c") == "1"


def test_a_device_that_a_container_is_given_can_be_used_as_far_as_it_was_given(
    pods: Pods, disk: Disk
) -> None:
    given = Device("/dev/disks/data", "b", disk.major, disk.minor, "r", mode=0o640)
    container = pods.sleeper(devices=[given])
    assert pods.sh(container, "stat -c '%A %t:%T' /dev/disks/data") == (
        f"brw-r----- {disk.major:x}:{disk.minor:x}"
    )
    assert pods.sh(container, "head -c 512 /dev/disks/data | wc -c") == "512"
    assert "not permitted" in pods.sh(container, ": > /dev/disks/data")
    assert pods.sh(container, "head -c 1 /dev/zero | wc -c") == "1"


def test_devices_of_one_container_are_not_its_neighbours(pods: Pods, disk: Disk) -> None:
    sandbox = pods.sandbox()
    given = Device("/dev/data", "b", disk.major, disk.minor)
    owner = pods.sleeper(sandbox=sandbox, devices=[given])
    other = pods.sleeper(sandbox=sandbox, name="other")
    assert pods.sh(owner, "echo hello > /dev/data && echo written") == "written"
    assert pods.sh(other, f"mknod /tmp/disk b {disk.major} {disk.minor} && echo made") == "made"
    assert "not permitted" in pods.sh(other, "head -c 1 /tmp/disk")


def test_a_privileged_container_may_open_devices_and_mount(pods: Pods) -> None:
    container = pods.sleeper(privileged=True)
    node = os.stat("/dev/kmsg")
    assert stat.S_ISCHR(node.st_mode)
    assert pods.sh(container, "test -c /dev/kmsg && : > /dev/kmsg && echo opened") == "opened"
    assert pods.sh(container, "mount -t tmpfs none /mnt && echo mounted") == "mounted"
    assert not os.path.ismount("/mnt")


def test_capabilities_are_exactly_those_given(pods: Pods) -> None:
    container = pods.sleeper(capabilities=["CAP_CHOWN", "CAP_NET_BIND_SERVICE"])
    for text in (
        pods.sh(container, "cat /proc/1/status"),
        pods.sh(container, "cat /proc/self/status"),
    ):
        masks = {k: int(v, 16) for k, v in re.findall(r"Cap(\w+):\s+([0-9a-f]+)", text)}
        given = 1 << 0 | 1 << 10
        assert masks == {"Inh": 0, "Prm": given, "Eff": given, "Bnd": given, "Amb": 0}


def test_an_unknown_capability_is_refused_by_name(pods: Pods) -> None:
    with pytest.raises(RuntimeFailure, match="unknown capability 'CAP_FLY'"):
        pods.create("true", capabilities=["CAP_FLY"])


def test_a_user_has_its_ids_and_no_capabilities(pods: Pods) -> None:
    container = pods.sleeper(uid=1234, gid=4321, groups=[7, 9], no_new_privileges=True)
    assert pods.sh(container, "id -u; id -g; id -G").split() == ["1234", "4321", "4321", "7", "9"]
    status = pods.sh(container, "cat /proc/1/status")
    assert re.search(r"CapEff:\s+0000000000000000", status)
    assert re.search(r"NoNewPrivs:\s+1", status)
    said = pods.output_of("echo out > /dev/stdout; echo err > /dev/stderr", uid=1234)
    assert sorted(said.split()) == ["err", "out"]


def test_a_fresh_process_has_no_stray_descriptors_ignored_signals_or_odd_umask(pods: Pods) -> None:
    said = pods.output_of(
        "ls /proc/self/fd | wc -l; umask; grep -E 'Sig(Ign|Blk)' /proc/self/status"
    )
    fds, umask, *signals = said.split("\n")
    assert fds == "4"  # 0, 1, 2 and the directory that ls reads
    assert umask == "0022"
    assert {line.split()[1] for line in signals if line} == {"0" * 16}


def test_the_root_is_private_to_a_container(pods: Pods) -> None:
    uid = pods.sandbox()
    one, two = pods.sleeper(sandbox=uid, name="one"), pods.sleeper(sandbox=uid, name="two")
    assert pods.sh(one, "echo mine > /etc/passwd; cat /etc/passwd") == "mine"
    assert "root:x:0:0" in pods.sh(two, "cat /etc/passwd")
    assert "mine" not in Path("/etc/passwd").read_text()
    assert (
        pods.sh(one, "ls /etc/shadow /etc/ssl/private /etc/machine-id 2>/dev/null | wc -l") == "0"
    )


def test_a_read_only_root_can_still_hold_volumes(pods: Pods, tmp_path: Path) -> None:
    volume = Mount(str(tmp_path), "/data/deep/volume")
    container = pods.sleeper(readonly_rootfs=True, mounts=[volume])
    assert "Read-only" in pods.sh(container, "touch /x")
    assert pods.sh(container, "echo kept > /data/deep/volume/f") == ""
    assert (tmp_path / "f").read_text() == "kept\n"


def test_a_read_only_mount_refuses_writes_also_in_mounts_below_it(
    pods: Pods, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("given\n")
    mounts = [Mount(str(tmp_path), "/ro", readonly=True), Mount(str(tmp_path / "file"), "/etc/one")]
    container = pods.sleeper(mounts=mounts)
    assert "Read-only" in pods.sh(container, "touch /ro/x")
    assert pods.sh(container, "cat /etc/one /ro/file") == "given\ngiven"
    assert pods.sh(container, "echo more >> /etc/one; cat /ro/file") == "given\nmore"


def test_a_symbolic_link_in_a_volume_cannot_lead_a_mount_out_of_the_root(
    pods: Pods, tmp_path: Path
) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "link").symlink_to(outside)
    (volume / "up").symlink_to("../../../../../../../.." + str(outside))
    second = tmp_path / "second"
    second.mkdir()
    (second / "secret").write_text("s")
    mounts = [
        Mount(str(volume), "/v"),
        Mount(str(second), "/v/link"),
        Mount(str(second), "/v/up/x"),
    ]
    container = pods.sleeper(mounts=mounts)
    assert pods.sh(container, f"ls {outside} {outside}/x | sort -u | tail -n 1") == "x"
    assert list(outside.iterdir()) == []


def test_image_links_in_place_of_mount_targets_stay_inside(pods: Pods, tmp_path: Path) -> None:
    layer, outside = tmp_path / "layer", tmp_path / "outside"
    outside.mkdir()
    (layer / "usr").mkdir(parents=True)
    for name in ("proc", "dev", "etc", "tmp"):
        (layer / name).symlink_to(outside)
    for name in ("bin", "lib", "lib64"):
        (layer / name).symlink_to(f"usr/{name}")
    (tmp_path / "hosts").write_text("127.0.0.1 x\n")
    mounts = [Mount("/usr", "/usr", readonly=True), Mount(str(tmp_path / "hosts"), "/etc/hosts")]
    with pytest.raises(RuntimeFailure):
        # /proc and /dev are one place in such an image: it cannot run, and harms nobody
        pods.sleeper(lower_dirs=[str(layer)], mounts=mounts)
    assert list(outside.iterdir()) == []


def test_a_mount_whose_source_is_missing_is_named(pods: Pods) -> None:
    with pytest.raises(RuntimeFailure, match=r'open_tree "/no/such": no such file or directory'):
        pods.create("true", mounts=[Mount("/no/such", "/x")])


def test_the_working_directory_is_made_and_entered(pods: Pods) -> None:
    assert pods.output_of("pwd", cwd="/srv/app/deep") == "/srv/app/deep\n"


def test_an_image_of_several_layers_is_seen_as_one(pods: Pods, tmp_path: Path) -> None:
    for name in ("lower", "upper, with: odd\\name"):
        (tmp_path / name / "usr").mkdir(parents=True)
        (tmp_path / name / "which").write_text(name)
    (tmp_path / "lower" / "only-below").touch()
    for name in ("bin", "lib", "lib64"):
        (tmp_path / "lower" / name).symlink_to(f"usr/{name}")
    layers = [str(tmp_path / "lower"), str(tmp_path / "upper, with: odd\\name")]
    ended = pods.ended(
        pods.script(
            "cat /which; ls /", lower_dirs=layers, mounts=[Mount("/usr", "/usr", readonly=True)]
        )
    )
    text = log_text(ended)
    assert text.startswith("upper, with")
    assert "only-below" in text
    assert "sys" in text


def test_the_containers_cgroup_is_the_root_of_what_it_sees(pods: Pods) -> None:
    container = pods.sleeper()
    lines = pods.sh(container, "cat /proc/1/cgroup /proc/self/cgroup").splitlines()
    assert {line.split(":", 2)[2] for line in lines} == {"/"}
    assert (
        pods.sh(container, "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null")
        == "max"
    )
