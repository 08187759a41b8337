"""The root of a container in a user namespace, made in two steps.

`prepare` runs as the host's root, in a mount namespace of the child's own: overlay, /dev, volumes,
all of them as they shall be seen inside (idmapped mounts, `man 2 mount_setattr`). The child is then
cloned into the user namespace with a copy of those mounts, which the kernel locks: who is root
inside can neither undo what is read-only nor look below a mount. `enter` mounts there what must
belong to the namespaces inside (/proc, /sys, cgroups, terminals), and lets go of the host's tree.

/proc and /sys come first: the kernel lets a user namespace have new ones only while others can be
seen in full. Targets are looked up below the new root here as well, by chroot.
"""

from __future__ import annotations

import contextlib
import errno
import os

from kubelet.runtime import operations, rootfs, syscalls
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import IdMapping, Mount
from kubelet.runtime.rootfs import RootPlan, Source
from kubelet.runtime.syscalls import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID
from kubelet.runtime.tree_walk import TreeWalk

_QUIET = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def prepare(plan: RootPlan, ids: IdMapping, user_namespace_fd: int) -> None:
    """Afterwards the working directory is the new root."""
    os.umask(0)
    sources = [_take(mount, ids, user_namespace_fd) for mount in plan.mounts]
    shm = rootfs.take(Mount(plan.shm_dir, "/dev/shm"))
    syscalls.set_propagation_private()
    for path in plan.lower_dirs:
        _cover_with_mapped(path, user_namespace_fd)
    rootfs.mount_overlay(plan)
    host_devices = rootfs.list_host_devices() if plan.privileged else []
    host_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(f"{plan.directory}/rootfs")
    operations.chroot(".")
    owner = ids.first_host_id
    for path in ("/proc", "/sys"):
        rootfs.make_mount_point(path, owner)
    rootfs.mount_dev(shm, host_devices, owner)
    for device in plan.devices:
        rootfs.make_node(device, owner)
    for source in sources:
        rootfs.attach(source, owner)
    rootfs.make_directory(plan.cwd, owner)
    os.chdir("/")
    root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(host_root)
    operations.chroot(".")
    os.fchdir(root)
    os.close(root)
    os.close(host_root)


def enter(plan: RootPlan) -> None:
    """In the user namespace, with the new root as the working directory."""
    os.umask(0)
    proc = syscalls.new_mount("proc", _QUIET)
    sys_attributes = _QUIET | (0 if plan.privileged else syscalls.MOUNT_ATTR_RDONLY)
    sys = syscalls.new_mount("sysfs", sys_attributes)
    root = syscalls.open_tree(".")  # a copy is not locked to where it is, what is in it stays so
    syscalls.move_mount(root, ".")
    os.fchdir(root)
    os.close(root)
    rootfs.pivot()
    syscalls.move_mount(proc, "/proc")
    syscalls.move_mount(sys, "/sys")
    os.close(proc)
    os.close(sys)
    rootfs.mount_cgroups(plan)
    rootfs.mount_terminals_and_queues()
    if not plan.privileged and not plan.unmasked_proc:
        rootfs.protect_paths()
    if plan.readonly:
        syscalls.remount_readonly("/")


def _cover_with_mapped(path: str, user_namespace_fd: int) -> None:
    """In this mount namespace alone: an overlay takes no layers that are mounted nowhere."""
    tree_fd = syscalls.open_tree(path)
    _map(tree_fd, path, user_namespace_fd)
    syscalls.move_mount(tree_fd, path)
    os.close(tree_fd)


def _take(mount: Mount, ids: IdMapping, user_namespace_fd: int) -> Source:
    source = rootfs.take(mount)
    try:
        _map(source.tree_fd, mount.source, user_namespace_fd)
    except RuntimeFailure:
        if mount.ids == "private":
            give_away(mount.source, ids)
        elif mount.ids != "any":
            raise
    return source


def _map(tree_fd: int, path: str, user_namespace_fd: int) -> None:
    try:
        syscalls.map_ids(tree_fd, user_namespace_fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        raise RuntimeFailure(
            f'"{path}" cannot be mapped into a user namespace: its file system offers no idmapped '
            "mounts with this kernel (tmpfs does since Linux 6.3)"
        ) from None


def give_away(path: str, ids: IdMapping) -> None:
    """Give what is there to the same ids inside. Safe to repeat: what has been given stays."""
    _give(path, ids, None)
    for fd, entries in TreeWalk(path):
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # replaced while we look
                _give(entry.name, ids, fd)


def _give(name: str, ids: IdMapping, directory_fd: int | None) -> None:
    status = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    uid, gid = (
        ids.first_host_id + old if old < ids.length <= ids.first_host_id else -1  # leave it
        for old in (status.st_uid, status.st_gid)
    )
    os.chown(name, uid, gid, dir_fd=directory_fd, follow_symlinks=False)
