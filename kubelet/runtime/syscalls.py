"""The one door to the kernel for what Python 3.11 does not offer: namespaces, mounts, privileges.

Called in the launcher, in shims and in container children, which are all single-threaded; the
kubelet's threads do not come here. Every failure is an OSError whose message names the call and
whose `filename` is the object, e.g. `[Errno 2] mount: No such file or directory: '/dev/shm'`.

ctypes.PyDLL is used instead of CDLL: it keeps the interpreter's lock during the call, so that a
child made by clone3 finds its interpreter as it was.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct

from kubelet.runtime import operations

CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000  # clone3 only

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REC, MS_PRIVATE, MS_STRICTATIME = 0x4000, 0x40000, 0x1000000
MS_SLAVE, MS_SHARED = 0x80000, 0x100000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
_MOUNT_ATTR_IDMAP = 0x100000
_FSOPEN_CLOEXEC, _FSCONFIG_CMD_CREATE, _FSMOUNT_CLOEXEC = 1, 6, 1
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
_RESOLVE_IN_ROOT = 0x10
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_SYMLINKS, _MOVE_MOUNT_T_EMPTY_PATH = 0x4, 0x10, 0x40

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

_SECCOMP_SET_MODE_FILTER = 1
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION_3 = 0x20080522

# The numbers of calls without a wrapper in libc. From 424 on they are the same everywhere.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLONE3, _SYS_MOUNT_SETATTR = 428, 429, 435, 442
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_SYS_OPENAT2 = 437
_MACHINE = os.uname().machine
_SYS_KEYCTL, _SYS_SECCOMP, _SYS_BPF, _SYS_RT_SIGACTION, _SYS_CLONE = {
    "x86_64": (250, 317, 321, 13, 56),
    "aarch64": (219, 277, 280, 134, 220),
}.get(_MACHINE, (-1, -1, -1, -1, -1))  # -1: the kernel answers ENOSYS

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, call: str, path: object = None) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}", path)
    return int(result)


def _text(value: str | None) -> bytes | None:
    return None if value is None else os.fsencode(value)


def _long(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


# Processes and namespaces


def clone(flags: int, *, cgroup_fd: int = 0) -> int:
    """Fork with namespaces: the child's pid, or 0 in the child (`man 2 clone3`). With CLONE_PARENT
    it is a child of this process's parent, which hears of its end.

    `cgroup_fd` (a directory of cgroup v2) is where the child begins, with CLONE_INTO_CGROUP. Only
    for a single-threaded process, and the child must exec or `os._exit`.
    """
    operations.note("clone", flags)
    exit_signal = 0 if flags & CLONE_PARENT else 17  # SIGCHLD; a sibling ends as this process does
    words = (flags, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup_fd)
    args = ctypes.create_string_buffer(struct.pack("=11Q", *words))
    return _checked(_libc.syscall(_long(_SYS_CLONE3), args, _long(88)), "clone3")


def fork_sibling() -> int:
    """Fork a child of this process's parent: its pid, or 0 in it. By `clone`, whose flags a filter
    of system calls can see, and so more of them allow it than `clone3`."""
    words = (_long(_SYS_CLONE), _long(CLONE_PARENT), *[_long(0)] * 4)
    return _checked(_libc.syscall(*words), "clone")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare", f"flags {flags:#x}")
    operations.note("unshare", flags)


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespaces `flags` of a process (`fd` is a pidfd), or the one that `fd` names."""
    _checked(_libc.setns(fd, flags), "setns", f"flags {flags:#x}")
    operations.note("setns", flags)


def prctl(option: int, value: int = 0) -> int:
    words = (_long(value), _long(0), _long(0), _long(0))
    result = _checked(_libc.prctl(option, *words), "prctl", f"option {option}")
    operations.note("prctl", option, value)
    return result


def set_process_title(title: str) -> None:
    """Let `ps` show `title`; cut to the room that the arguments of the first exec left. Its first
    word becomes the name that `top` shows."""
    name = ctypes.create_string_buffer(title.split(maxsplit=1)[0].encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(name))
    start, size = find_process_title()
    ctypes.memmove(start, title.encode()[: size - 1].ljust(size, b"\0"), size)


@functools.cache
def find_process_title() -> tuple[int, int]:
    """Address and size of the arguments of the last exec; a fork has them in the same place."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])  # fields 48 and 49 of proc_pid_stat(5)
    return start, end - start


def trim_memory() -> None:
    """Give the kernel back what the C library holds in reserve; not every C library can."""
    if trim := getattr(_libc, "malloc_trim", None):
        trim(0)


# Mounts


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    call = f"mount {kind}" if kind else "mount"
    words = (_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data))
    _checked(_libc.mount(*words), call, target)
    operations.note("mount", source, target, kind, flags, data)


def set_propagation_private() -> None:
    """No mount made from now on is seen outside this mount namespace, nor the other way round."""
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def umount(target: str, flags: int = 0) -> None:
    _checked(_libc.umount2(_text(target), flags), "umount", target)
    operations.note("umount", target, flags)


def pivot_root(new_root: str, put_old: str) -> None:
    _checked(_libc.pivot_root(_text(new_root), _text(put_old)), "pivot_root", new_root)
    operations.note("pivot_root", new_root, put_old)


def open_tree(path: str, *, with_mounts_below: bool = True) -> int:
    """A detached copy of the mounts at `path` and below: bind mount it with `move_mount`."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if with_mounts_below else 0)
    words = (_long(_SYS_OPEN_TREE), _long(_AT_FDCWD), _text(path), _long(flags))
    tree_fd = _checked(_libc.syscall(*words), "open_tree", path)
    operations.note("open_tree", tree_fd, path, with_mounts_below)
    return tree_fd


def move_mount(tree_fd: int, target: str) -> None:
    """Mount what `open_tree` gave at `target`; links in `target` are followed."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS
    words = (_long(tree_fd), b"", _long(_AT_FDCWD), _text(target), _long(flags))
    _checked(_libc.syscall(_long(_SYS_MOVE_MOUNT), *words), "move_mount", target)
    operations.note("move_mount", tree_fd, target)


def move_mount_to(tree_fd: int, target_fd: int, target: str) -> None:
    """Mount what `open_tree` gave at the very file or directory that is open as `target_fd`;
    `target` is its path."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    words = (_long(tree_fd), b"", _long(target_fd), b"", _long(flags))
    _checked(_libc.syscall(_long(_SYS_MOVE_MOUNT), *words), "move_mount", target)
    operations.note("move_mount", tree_fd, target)


def new_mount(kind: str, attributes: int) -> int:
    """A new file system that is mounted nowhere yet: `move_mount` mounts it (`man 2 fsopen`)."""
    kind_and_flags = (_text(kind), _long(_FSOPEN_CLOEXEC))
    context_fd = _checked(_libc.syscall(_long(_SYS_FSOPEN), *kind_and_flags), f"fsopen {kind}")
    try:
        create = (_long(context_fd), _long(_FSCONFIG_CMD_CREATE), None, None, _long(0))
        _checked(_libc.syscall(_long(_SYS_FSCONFIG), *create), f"fsconfig {kind}")
        mount_it = (_long(context_fd), _long(_FSMOUNT_CLOEXEC), _long(attributes))
        mount_fd = _checked(_libc.syscall(_long(_SYS_FSMOUNT), *mount_it), f"fsmount {kind}")
    finally:
        os.close(context_fd)
    operations.note("new_mount", mount_fd, kind, attributes)
    return mount_fd


def map_ids(tree_fd: int, user_namespace_fd: int) -> None:
    """Let the files of a tree that `open_tree` gave belong to the ids that a user namespace has
    for theirs. EINVAL from a file system that does not know how."""
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    _mount_setattr(tree_fd, "", flags, _MOUNT_ATTR_IDMAP, user_namespace_fd)
    operations.note("map_ids", tree_fd)


def make_readonly(tree_fd: int, *, is_recursive: bool = True) -> None:
    """The mount that `open_tree` gave becomes read-only, with those below it if `is_recursive`."""
    _mount_setattr(tree_fd, "", _AT_EMPTY_PATH | (_AT_RECURSIVE if is_recursive else 0))
    operations.note("make_readonly", tree_fd, is_recursive)


def set_propagation(tree_fd: int, propagation: int) -> None:
    """Of every mount of a tree that `open_tree` gave: MS_PRIVATE, MS_SLAVE or MS_SHARED."""
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    _mount_setattr(tree_fd, "", flags, attributes=0, propagation=propagation)
    operations.note("set_propagation", tree_fd, propagation)


def make_writable(tree_fd: int) -> None:
    """The mount that `open_tree` gave can be written to, if its file system can."""
    attr = ctypes.create_string_buffer(struct.pack("=4Q", 0, MOUNT_ATTR_RDONLY, 0, 0))
    words = (_long(tree_fd), b"", _long(_AT_EMPTY_PATH), attr, _long(32))
    _checked(_libc.syscall(_long(_SYS_MOUNT_SETATTR), *words), "mount_setattr")


def remount_readonly(target: str) -> None:
    """The mount at `target` becomes read-only, those below it stay as they are."""
    _mount_setattr(_AT_FDCWD, target, 0)
    operations.note("remount_readonly", target)


def _mount_setattr(
    fd: int, path: str, flags: int, attributes: int = MOUNT_ATTR_RDONLY,
    user_namespace_fd: int = 0, *, propagation: int = 0,
) -> None:  # fmt: skip
    packed = struct.pack("=4Q", attributes, 0, propagation, user_namespace_fd)
    attr = ctypes.create_string_buffer(packed)
    words = (_long(fd), _text(path), _long(flags), attr, _long(32))
    _checked(_libc.syscall(_long(_SYS_MOUNT_SETATTR), *words), "mount_setattr", path or None)


def has_mount_setattr() -> bool:
    """Whether the kernel knows it, since 5.12: of no descriptor it says so."""
    try:
        _mount_setattr(-1, "", _AT_EMPTY_PATH)
    except OSError as failure:
        return failure.errno == errno.EBADF
    return True


def open_in_root(root_fd: int, path: str, flags: int) -> int:
    """Open `path` as if `root_fd` were /: neither ".." nor a link leads out (`man 2 openat2`)."""
    return _openat2(root_fd, path, flags, _RESOLVE_NO_MAGICLINKS | _RESOLVE_IN_ROOT)


def open_same_mount(dir_fd: int, path: str, flags: int) -> int:
    """Open what is in the same mount as `dir_fd`, no link on the way or at the end; into another
    mount it is EXDEV (`man 2 openat2`)."""
    return _openat2(dir_fd, path, flags, _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS)


def _openat2(dir_fd: int, path: str, flags: int, resolve: int) -> int:
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, 0, resolve)
    words = (_long(dir_fd), _text(path), how, _long(len(how)))
    return _checked(_libc.syscall(_long(_SYS_OPENAT2), *words), "openat2", path)


# Privileges


def sysctl_path(name: str) -> str:
    return f"/proc/sys/{name.translate({ord('.'): '/', ord('/'): '.'})}"


def set_sysctl(name: str, value: str) -> None:
    """ "net.ipv4.conf.eth0/1.forwarding": a slash stands for a dot (`man 8 sysctl`)."""
    path = sysctl_path(name)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        words = f'set sysctl "{name}" to "{value}": {os.strerror(error.errno or 0)}'
        raise OSError(error.errno, words) from None
    operations.note("sysctl", path, value)


def capset(effective: int, *, permitted: int) -> None:
    """These become the sets, the inheritable one becomes empty (`man 2 capset`)."""
    words = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in (effective, permitted)]
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", *words[:2], 0, *words[2:], 0))
    _checked(_libc.capset(header, data), "capset", f"{effective:#x}")
    operations.note("capset", effective, permitted)


def join_new_session_keyring() -> None:
    """Leave the host's keys behind (`man 2 keyctl`)."""
    words = (_long(_SYS_KEYCTL), _long(_KEYCTL_JOIN_SESSION_KEYRING), None)
    _checked(_libc.syscall(*words), "keyctl")
    operations.note("join_session_keyring")


def set_seccomp_filter(program: bytes) -> None:
    """Filter this process's system calls with a classic BPF program (`man 2 seccomp`)."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    words = (_long(_SYS_SECCOMP), _long(_SECCOMP_SET_MODE_FILTER), _long(0), header)
    _checked(_libc.syscall(*words), "seccomp")
    operations.note("seccomp")


def bpf(command: int, attributes: bytes) -> int:
    """`man 2 bpf`; `attributes` is the packed `union bpf_attr`."""
    attr = ctypes.create_string_buffer(attributes, len(attributes))
    words = (_long(_SYS_BPF), _long(command), attr, _long(len(attributes)))
    return _checked(_libc.syscall(*words), "bpf", f"command {command}")


# Signals


def reset_signals() -> None:
    """Every signal to its default, also 32 and 33, which libc keeps to itself and does not let
    Python touch, and which some parents leave ignored (`man 2 rt_sigaction`)."""
    default = ctypes.create_string_buffer(32)  # struct sigaction of zeros: SIG_DFL, no flags
    for number in range(1, 65):
        if number not in (9, 19):  # SIGKILL and SIGSTOP have no disposition
            words = (_long(_SYS_RT_SIGACTION), _long(number), default, None, _long(8))
            _checked(_libc.syscall(*words), "rt_sigaction", f"signal {number}")


def signalfd(signals: set[int]) -> int:
    """A non-blocking, close-on-exec file that becomes readable when one of `signals` is pending."""
    mask = sum(1 << (number - 1) for number in signals)
    words = ctypes.create_string_buffer(struct.pack("=Q", mask).ljust(128, b"\0"), 128)
    return _checked(_libc.signalfd(-1, words, os.O_NONBLOCK | os.O_CLOEXEC), "signalfd")
