"""What a container sees as its file system. Runs in the container child's own mount namespace.

The order is what makes it safe: sources are taken from the host first (`open_tree`), then the root
is changed and the host's tree dropped, and only then is anything mounted *into* the container. So
every target path is looked up inside the container's own root, and no symbolic link in an image or
a volume can lead out of it. (`man 2 pivot_root`, `man 2 open_tree`; paths as in the OCI runtime
specification, config-linux.md, and its reference defaults.)
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

from kubelet.runtime import operations, syscalls
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Device, Mount
from kubelet.runtime.syscalls import (
    MNT_DETACH,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_STRICTATIME,
)

_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PROPAGATIONS = {
    "private": syscalls.MS_PRIVATE, "slave": syscalls.MS_SLAVE, "shared": syscalls.MS_SHARED,
}  # fmt: skip
_TTY_GID = 5  # Debian's and everybody's group "tty"


@dataclass(frozen=True)
class CgroupView:
    """One mount below /sys/fs/cgroup: v1 `("cpu", "cgroup", "cpu")`, v2 `("", "cgroup2", "")`."""

    directory: str
    kind: str
    options: str


@dataclass(frozen=True)
class RootPlan:
    """Everything needed to make the root; all paths are the host's, targets the container's."""

    directory: str  # holds upper, work and rootfs
    lower_dirs: tuple[str, ...]  # lowest first
    mounts: tuple[Mount, ...]
    devices: tuple[Device, ...]
    shm_dir: str  # shared by the containers of a sandbox
    cgroup_views: tuple[CgroupView, ...]
    cwd: str
    readonly: bool
    privileged: bool
    unmasked_proc: bool


@dataclass(frozen=True)
class Source:
    """What is to be mounted, taken from the host before its tree is let go."""

    tree_fd: int
    target: str
    is_dir: bool


def make_directories(directory: str, owner: int) -> None:
    """What an overlay needs; the rest of this module runs in the child."""
    for name in ("upper", "work", "rootfs"):
        operations.mkdir(f"{directory}/{name}")
    operations.give(f"{directory}/upper", owner)  # it is the new root directory


def enter(plan: RootPlan, proc_fd: int = -1) -> None:
    """Make the root and be in it: afterwards "/" is the container's and the host's is gone.
    `proc_fd` is a /proc to take, -1 for a new one of this process's PID namespace."""
    os.umask(0)
    sources = [take(mount, is_trusted=plan.privileged) for mount in plan.mounts]
    shm = take(Mount(plan.shm_dir, "/dev/shm"))
    syscalls.set_propagation_private()
    mount_overlay(plan)
    host_devices = list_host_devices() if plan.privileged else []
    os.chdir(f"{plan.directory}/rootfs")
    pivot()
    _mount_proc_and_sys(plan, proc_fd)
    mount_dev(shm, host_devices)
    mount_terminals_and_queues()
    for device in plan.devices:
        make_node(device)
    if not plan.privileged and not plan.unmasked_proc:
        protect_paths()  # while nothing of the container's makers is mounted in /dev
    for source in sources:
        attach(source)
    make_directory(plan.cwd)
    if plan.readonly:
        syscalls.remount_readonly("/")


def mount_overlay(plan: RootPlan) -> None:
    """`volatile`: nothing in a container's layer outlives it, so unmounting need not sync the disk.

    Layers are named by descriptors: a path may hold ':' or ',', and many long ones do not fit into
    the page that mount(2) takes.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    layers = [os.open(path, flags) for path in reversed(plan.lower_dirs)]
    upper = os.open(f"{plan.directory}/upper", flags)
    work = os.open(f"{plan.directory}/work", flags)
    lower = ":".join(f"/proc/self/fd/{fd}" for fd in layers)
    ours = f"upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work}"
    data = f"lowerdir={lower},{ours},volatile"
    operations.note("overlay", plan.lower_dirs, plan.directory)
    syscalls.mount("overlay", f"{plan.directory}/rootfs", "overlay", 0, data)
    for fd in (*layers, upper, work):
        os.close(fd)


def take(mount: Mount, *, is_trusted: bool = False) -> Source:
    """To be called before the mount namespace becomes private: a copy of a mount hears of what is
    mounted below the original, unless it is told not to.

    The host's /proc comes read-only to all but privileged containers: whoever is root may write
    most of /proc/sys, core_pattern and so the host included, without any capability."""
    if mount.propagation != "private":
        check_propagation(mount)
    tree_fd = syscalls.open_tree(mount.source)
    syscalls.set_propagation(tree_fd, _PROPAGATIONS[mount.propagation])
    status = os.fstat(tree_fd)
    is_proc = status.st_dev == os.stat("/proc").st_dev and not is_trusted
    if mount.readonly or is_proc:
        syscalls.make_readonly(tree_fd, is_recursive=mount.is_recursive or is_proc)
    return Source(tree_fd, mount.target, stat.S_ISDIR(status.st_mode))


def check_propagation(mount: Mount) -> None:
    """RuntimeFailure where the host keeps the mount to itself. (`man 5 proc_pid_mountinfo`)"""
    fd = os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
    finally:
        os.close(fd)
    mount_id = fields["mnt_id"].strip()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        words = next(line.split() for line in file if line.split(" ", 1)[0] == mount_id)
    tags = {word.partition(":")[0] for word in words[6 : words.index("-")]}
    wanted, name = (
        ({"shared"}, "a shared mount")
        if mount.propagation == "shared"
        else ({"shared", "master"}, "a shared or slave mount")
    )
    if not tags & wanted:
        raise RuntimeFailure(
            f'path "{mount.source}" is mounted on "{words[4]}" but it is not {name}'
        )


def attach(source: Source, owner: int = 0) -> None:
    target = os.path.realpath(source.target)
    if f"{target}/".startswith("/proc/"):
        raise RuntimeFailure(f'"{source.target}" cannot be mounted because it is inside /proc')
    if source.is_dir:
        make_directory(target, owner)
    elif not os.path.exists(target):
        make_directory(os.path.dirname(target), owner)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        operations.note("touch", target)
        operations.give(target, owner)
    place = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        _refuse_proc(source, place)
        syscalls.move_mount_to(source.tree_fd, place, target)
    finally:
        os.close(place)
        os.close(source.tree_fd)


def _refuse_proc(source: Source, place: int) -> None:
    """A volume over /proc would hide what is masked there; a link in another volume may lead to it
    as well as the path itself. What is looked at is what is mounted upon."""
    proc = os.stat("/proc").st_dev
    if proc != os.stat("/").st_dev and os.fstat(place).st_dev == proc:
        raise RuntimeFailure(f'"{source.target}" cannot be mounted because it is inside /proc')


def make_directory(path: str, owner: int = 0) -> None:
    """With what is missing above it; each belongs to `owner`, the id that root has outside."""
    path = os.path.abspath(path)
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path), owner)
    operations.mkdir(path)
    operations.give(path, owner)


def make_mount_point(path: str, owner: int = 0) -> None:
    """For what is protected: behind a link in the image it would be somewhere else."""
    if os.path.islink(path):
        raise RuntimeFailure(f'"{path}" in the image is a link, not a directory')
    make_directory(path, owner)


def pivot() -> None:
    """The working directory becomes the root. Both arguments "." stack the old root upon the new
    one, from where it is let go."""
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", MNT_DETACH)
    os.chdir("/")


def take_proc_of(pidfd: int) -> int:
    """A copy of the /proc that a process sees: that of its PID namespace, in which we are not."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(pidfd, syscalls.CLONE_NEWNS)
    try:
        tree_fd = syscalls.open_tree("/proc", with_mounts_below=False)
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWNS)
        os.close(own)
    syscalls.make_writable(tree_fd)
    return tree_fd


def _mount_proc_and_sys(plan: RootPlan, proc_fd: int) -> None:
    for path in ("/proc", "/sys"):
        make_mount_point(path)
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    unless_privileged = 0 if plan.privileged else MS_RDONLY
    if proc_fd < 0:
        syscalls.mount("proc", "/proc", "proc", quiet)
    else:
        syscalls.move_mount(proc_fd, "/proc")
        os.close(proc_fd)
    syscalls.mount("sysfs", "/sys", "sysfs", quiet | unless_privileged)
    mount_cgroups(plan)


def mount_cgroups(plan: RootPlan) -> None:
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    unless_privileged = 0 if plan.privileged else MS_RDONLY
    if any(view.directory for view in plan.cgroup_views):
        syscalls.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", quiet, "mode=755")
    for view in plan.cgroup_views:
        target = f"/sys/fs/cgroup/{view.directory}".rstrip("/")
        if view.directory:
            operations.mkdir(target)
        syscalls.mount("cgroup", target, view.kind, quiet | unless_privileged, view.options)
    if not plan.privileged:
        syscalls.remount_readonly("/sys/fs/cgroup")


def mount_dev(shm: Source, host_devices: list[tuple[str, int, int]], owner: int = 0) -> None:
    """`owner` is who root is outside. The host's devices keep theirs."""
    make_mount_point("/dev", owner)
    data = f"mode=755,size=65536k,uid={owner},gid={owner}"
    syscalls.mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, data)
    for name, major, minor in _NODES:
        operations.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        operations.give(f"/dev/{name}", owner)
    for name, target in _DEV_LINKS.items():
        operations.symlink(target, f"/dev/{name}")
    for name in ("pts", "shm", "mqueue"):
        make_directory(f"/dev/{name}", owner)
    attach(shm)
    for name, mode, device in host_devices:
        with contextlib.suppress(FileExistsError):
            make_directory(os.path.dirname(f"/dev/{name}"))
            operations.mknod(f"/dev/{name}", mode, device)


def mount_terminals_and_queues() -> None:
    pts = f"newinstance,ptmxmode=0666,mode=0620,gid={_TTY_GID}"
    syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, pts)
    syscalls.mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def make_node(device: Device, owner: int = 0) -> None:
    """In the container's own tree: nothing of the host's is mounted yet below its root."""
    make_directory(os.path.dirname(device.path), owner)
    kind = stat.S_IFBLK if device.type == "b" else stat.S_IFCHR
    with contextlib.suppress(FileNotFoundError):  # a privileged container has the host's already
        os.unlink(device.path)
    operations.mknod(device.path, kind | device.mode, os.makedev(device.major, device.minor))
    operations.give(device.path, owner)


def list_host_devices() -> list[tuple[str, int, int]]:
    """(path below /dev, mode, device number) of the host's nodes, for a privileged container."""
    found = []
    for directory, names, files in os.walk("/dev"):
        names[:] = [name for name in names if name not in ("pts", "shm", "mqueue")]
        for name in files:
            path = f"{directory}/{name}"
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                found.append((path.removeprefix("/dev/"), status.st_mode, status.st_rdev))
    return found


def protect_paths() -> None:
    for path in _READONLY:
        with contextlib.suppress(FileNotFoundError):
            tree_fd = syscalls.open_tree(path)
            syscalls.make_readonly(tree_fd)
            syscalls.move_mount(tree_fd, path)
            os.close(tree_fd)
    for path in (*_MASKED, *_thermal_throttles()):
        with contextlib.suppress(FileNotFoundError):
            _mask(path)


def _thermal_throttles() -> list[str]:
    """How hot each CPU ran: enough to tell what others compute."""
    cpus = "/sys/devices/system/cpu"
    found = [name for name in os.listdir(cpus) if name.startswith("cpu") and name[3:].isdigit()]
    return [f"{cpus}/{name}/thermal_throttle" for name in found]


def _mask(path: str) -> None:
    if stat.S_ISDIR(os.stat(path).st_mode):
        syscalls.mount("tmpfs", path, "tmpfs", MS_RDONLY)
        return
    tree_fd = syscalls.open_tree("/dev/null")
    syscalls.move_mount(tree_fd, path)
    os.close(tree_fd)
