"""The bare-kernel floor: the same kernel objects as a Pod with one container, without Podium.

One Python process makes, for each container: a cgroup in three hierarchies (or one on cgroup v2),
six namespaces by clone, an overlay root over the host's /usr, a veth pair on a bridge with an
address and a route, pivot_root, and an exec of `sleep`. Nothing is written down, supervised or
logged.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from kubelet.network import links
from kubelet.network.netlink import Netlink

CLONE_FLAGS = (
    0x00020000  # CLONE_NEWNS
    | 0x02000000  # CLONE_NEWCGROUP
    | 0x04000000  # CLONE_NEWUTS
    | 0x08000000  # CLONE_NEWIPC
    | 0x20000000  # CLONE_NEWPID
    | 0x40000000  # CLONE_NEWNET
)
SYS_CLONE = 56  # x86_64
SYS_PIVOT_ROOT = 155
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
BRIDGE = "podium-floor"
SUBNET = "10.213.77"
MTU = 1500

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{call}: {os.strerror(errno)}")
    return result


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _check(_libc.mount(*words), f"mount {target}")


def _cgroup_dirs() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root / BRIDGE]
    return [root / name / BRIDGE for name in ("cpu", "memory", "pids") if (root / name).is_dir()]


def _address(number: int) -> ipaddress.IPv4Interface:
    return ipaddress.IPv4Interface(f"{SUBNET}.{number}/24")


def _index(kernel: Netlink, name: str) -> int:
    found = links.find_link(kernel, name)
    assert found is not None, f"interface {name} was made just now"
    return found.index


class Floor:
    """Bare containers, made one after the other and removed together by `close`."""

    def __init__(self) -> None:
        self.work = Path(tempfile.mkdtemp(prefix="podium-floor-"))
        self.pids: list[int] = []
        self._open = contextlib.ExitStack()
        self.kernel = self._open.enter_context(Netlink.open())
        self.cgroups = _cgroup_dirs()
        for directory in self.cgroups:
            directory.mkdir(exist_ok=True)
        if self.cgroups[0].parent == Path("/sys/fs/cgroup"):
            for controller in ("cpu", "memory", "pids"):
                (self.cgroups[0].parent / "cgroup.subtree_control").write_text(f"+{controller}")
                (self.cgroups[0] / "cgroup.subtree_control").write_text(f"+{controller}")
        self.kernel.send(links.add_bridge(BRIDGE, "02:00:00:00:77:01", MTU))
        self.bridge = _index(self.kernel, BRIDGE)
        self.kernel.send(links.put_address(self.bridge, _address(1)))

    def make(self) -> float:
        """Seconds until the container's process has been exec'ed."""
        number = len(self.pids) + 2
        began = time.perf_counter()
        root = self._directories(number)
        go_read, go_write = os.pipe()
        up_read, up_write = os.pipe()  # close-on-exec: its end says that exec has happened
        pid = _check(_libc.syscall(SYS_CLONE, CLONE_FLAGS | signal.SIGCHLD, 0, 0, 0, 0), "clone")
        if pid == 0:
            self._child(root, go_read, number)
        self.pids.append(pid)
        os.close(go_read)
        os.close(up_write)
        self._cgroup(pid, number)
        self._network(pid, number)
        os.write(go_write, b"1")
        os.close(go_write)
        os.read(up_read, 1)
        os.close(up_read)
        return time.perf_counter() - began

    def _directories(self, number: int) -> Path:
        root = self.work / str(number)
        for name in ("upper", "work", "merged", "lower/usr", "lower/proc", "lower/old"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (root / "lower" / name).symlink_to(f"usr/{name}")
        return root

    def _cgroup(self, pid: int, number: int) -> None:
        for directory in self.cgroups:
            (directory / str(number)).mkdir()
            (directory / str(number) / "cgroup.procs").write_text(str(pid))

    def _network(self, pid: int, number: int) -> None:
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        pair = links.add_veth(
            f"podf{number}",
            self.bridge,
            MTU,
            peer="eth0",
            peer_mac=f"02:00:00:00:78:{number:02x}",
            netns_fd=netns,
        )
        self.kernel.send(pair)
        os.close(netns)

    def _child(self, root: Path, go: int, number: int) -> None:
        try:
            os.read(go, 1)
            with Netlink.open() as kernel:
                index = _index(kernel, "eth0")
                kernel.send(
                    links.set_up(index),
                    links.put_address(index, _address(number)),
                    links.put_default_route(index, f"{SUBNET}.1"),
                )
            merged = str(root / "merged")
            _mount("none", "/", "", MS_REC | MS_PRIVATE)
            layers = f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work"
            _mount("overlay", merged, "overlay", 0, layers)
            _mount("/usr", f"{merged}/usr", "", MS_BIND)
            _mount("proc", f"{merged}/proc", "proc", 0)
            _check(
                _libc.syscall(SYS_PIVOT_ROOT, merged.encode(), f"{merged}/old".encode()),
                "pivot_root",
            )
            os.chdir("/")
            _check(_libc.umount2(b"/old", MNT_DETACH), "umount /old")
            os.execv("/bin/sleep", ["sleep", "1000"])
        except BaseException as failure:  # noqa: BLE001  # a forked child must never return
            os.write(2, f"floor: {failure}\n".encode())
        finally:
            os._exit(1)

    def close(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for directory in self.cgroups:
            for number in range(2, len(self.pids) + 2):
                _remove_cgroup(directory / str(number))
            _remove_cgroup(directory)
        self.kernel.send(links.delete_link(BRIDGE))
        self._open.close()
        shutil.rmtree(self.work)


def _remove_cgroup(directory: Path) -> None:
    """rmdir, as soon as the kernel has let go of the processes that were killed."""
    for _ in range(200):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.005)
        else:
            return


def seconds_for(count: int) -> float:
    """Seconds that `count` bare containers take, one after the other."""
    floor = Floor()
    try:
        return sum(floor.make() for _ in range(count))
    finally:
        floor.close()


if __name__ == "__main__":
    print(f"1: {seconds_for(1) * 1000:.1f} ms   100: {seconds_for(100):.2f} s")
