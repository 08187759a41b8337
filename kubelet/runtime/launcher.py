"""The launcher: forks a shim in a millisecond or two whenever the kubelet asks.

`python -m kubelet.runtime --root R --cgroup-root C` (see __main__.py). One thread, no state:
everything that shims need is imported and found out once, and every shim shares that memory.
Whoever sends a datagram with one socket to R/launcher.sock has a shim at the other end of it. If
the launcher is killed, nothing stops but the making of new sandboxes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from kubelet.runtime import capabilities, host_image, shim, syscalls
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.layout import Layout, short_path
from kubelet.runtime.rehearsal import rehearse
from kubelet.runtime.rootfs import CgroupView
from kubelet.runtime.shim_container import Host

SOCKET = "launcher.sock"
NODE_START_S = 1.0  # unless a shim is wanted, what shims share waits while others need the CPU
_SHIM_OOM_SCORE = -998  # the shim is the last to be killed for want of memory, as containerd has it


def main(arguments: list[str] | None = None) -> None:
    root, cgroup_root = _options(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    layout = Layout(root)
    cgroups = prepare(layout, cgroup_root)
    listener = _listen(layout)
    _say_ready()
    select.select([listener], [], [], NODE_START_S)
    host = find_out(layout, cgroups)
    rehearse()
    gc.collect()
    syscalls.trim_memory()
    gc.disable()  # a collection in a shim would touch, and so copy, the memory that they share
    gc.freeze()
    serve(host, listener)


def _options(arguments: list[str]) -> tuple[str, str]:
    """By hand: argparse and what it imports would be in every shim's memory."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if set(given) != {"--root", "--cgroup-root"} or len(arguments) != 4:
        sys.exit("usage: python -m kubelet.runtime --root DIRECTORY --cgroup-root CGROUP")
    return given["--root"], given["--cgroup-root"]


def prepare(layout: Layout, cgroup_root: str) -> Cgroups:
    """What must succeed before there can be any shim."""
    os.umask(0o022)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # no container can open our /proc/<pid>/exe or mem
    os.makedirs(layout.sandboxes, mode=0o700, exist_ok=True)
    _mount_shm(layout.shm)
    syscalls.find_process_title()
    cgroups = Cgroups.detect(cgroup_root)
    cgroups.prepare()
    if not cgroups.controls_devices:
        _say("this host offers no device control: containers are made without CAP_MKNOD")
    _protect_from_oom()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps shims
    return cgroups


def find_out(layout: Layout, cgroups: Cgroups) -> Host:
    """Everything that is made or found out once for all shims."""
    return Host(
        layout=layout,
        cgroups=cgroups,
        image=host_image.prepare(layout.host_image),
        cgroup_views=tuple(_cgroup_views(cgroups)),
        permitted_mask=capabilities.permitted(),
        null_fd=os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
    )


def serve(host: Host, listener: socket.socket) -> None:
    """One shim per datagram, for ever."""
    while True:
        _data, fds, _flags, _address = socket.recv_fds(listener, 16, 4)
        if len(fds) == 1:
            with socket.socket(fileno=fds[0]) as channel:
                channel.set_inheritable(False)
                if os.fork() == 0:
                    listener.close()
                    shim.main(host, channel)
        else:
            for fd in fds:
                os.close(fd)


def _mount_shm(directory: str) -> None:
    """One tmpfs for the /dev/shm of all sandboxes: its pages are charged to who writes them."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    if not os.path.ismount(directory):
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("shm", directory, "tmpfs", flags, "mode=755")


def _cgroup_views(cgroups: Cgroups) -> list[CgroupView]:
    return [
        CgroupView(os.path.basename(tree.mount_point), "cgroup", tree.options)
        if isinstance(tree, HierarchyV1)
        else CgroupView("" if tree.mount_point == "/sys/fs/cgroup" else "unified", "cgroup2", "")
        for tree in cgroups.hierarchies
    ]


def _protect_from_oom() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(_SHIM_OOM_SCORE))
    except OSError as error:
        _say(f"oom_score_adj cannot be lowered here ({error.strerror}): best effort for all")


def _listen(layout: Layout) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with short_path(layout.root, SOCKET) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
    return listener


def _say_ready() -> None:
    """Tell the supervisor, if it waits for it."""
    if fd := os.environ.get("PODIUM_READY_FD"):
        os.write(int(fd), b"ready\n")
        os.close(int(fd))


def _say(text: str) -> None:
    print(f"launcher: {text}", file=sys.stderr, flush=True)


def _end(_number: int, _frame: object) -> NoReturn:
    os._exit(0)
