"""Room podium/cli: what a machine must offer before anything is started on it.

Called by `podium up`. Each check raises Unfit with one sentence that says what is missing and, if
there is one, the way out. Nothing is changed on the machine. Standard library only.
"""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import os
import re
import secrets
import shutil
import socket
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from podium.cli.cluster_config import DEFAULT_DATA_DIR
from podium.cli.processes import port_owner

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # man 7 capabilities; numbers from linux/capability.h
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
CONTAINERD_PROGRAMS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc"}
CONTROLLERS = ("cpu", "memory", "pids")
OLDEST_KERNEL = (5, 4)


class Unfit(Exception):
    """This machine, directory or port will not do; the message says why."""


def check_root() -> None:
    """Only root may make namespaces, cgroups and mounts."""
    if sys.platform != "linux":
        raise Unfit("podium makes its containers with the Linux kernel; this is not Linux")
    if os.geteuid() != 0:
        raise Unfit("podium must run as root: it makes namespaces, cgroups and mounts; try sudo")


def check_kernel() -> None:
    """The kernel features without which no container can be made."""
    _check_version()
    _check_capabilities()
    missing = [name for name in NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    if missing:
        raise Unfit(f"this kernel has no {', '.join(missing)} namespaces")
    if not _has_filesystem("overlay"):
        raise Unfit(
            "this kernel has no overlay filesystem (CONFIG_OVERLAY_FS); try: modprobe overlay"
        )
    _check_cgroups(Path("/proc/self/mountinfo").read_text())
    if not Path("/proc/sys/net/ipv4/ip_forward").exists():
        raise Unfit("this kernel has no IPv4")


def check_containerd() -> None:
    """What `--runtime containerd` needs beside the kernel."""
    for program, package in CONTAINERD_PROGRAMS.items():
        if shutil.which(program) is None:
            raise Unfit(f"--runtime containerd needs {program}: apt-get install {package}")
    missing = [name for name in ("grpc", "google.protobuf") if not _has_module(name)]
    if missing:
        raise Unfit(
            f"--runtime containerd needs Python's {' and '.join(missing)}: "
            f"{Path(sys.executable).parent}/pip install grpcio protobuf"
        )


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def _check_version() -> None:
    release = os.uname().release
    match = re.match(r"(\d+)\.(\d+)", release)
    if match and (int(match[1]), int(match[2])) < OLDEST_KERNEL:
        raise Unfit(f"kernel {release} is too old: podium needs 5.4 or later (pidfd)")


def _check_capabilities() -> None:
    match = re.search(
        r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    held = int(match[1], 16) if match else 0
    wanted = {"CAP_SYS_ADMIN": CAP_SYS_ADMIN, "CAP_NET_ADMIN": CAP_NET_ADMIN}
    missing = [name for name, bit in wanted.items() if not held & (1 << bit)]
    if missing:
        raise Unfit(
            f"this root has no {' and '.join(missing)}: inside a container, run it privileged"
        )


def _has_filesystem(name: str) -> bool:
    known = Path("/proc/filesystems").read_text().split()
    # A module is loaded by the kernel itself at the first mount, if it is there to be loaded.
    modules = Path("/lib/modules") / os.uname().release
    return name in known or any(modules.glob(f"kernel/fs/{name}*/{name}.ko*"))


def _check_cgroups(mountinfo: str) -> None:
    offered = set(_cgroup_controllers(mountinfo))
    if not offered:
        raise Unfit("no cgroup filesystem is mounted: mount -t cgroup2 none /sys/fs/cgroup")
    missing = [name for name in CONTROLLERS if name not in offered]
    if missing == ["memory"]:
        raise Unfit(
            "the kernel's memory cgroup is switched off: "
            "boot with cgroup_enable=memory on the kernel command line"
        )
    if missing:
        raise Unfit(f"this kernel offers no cgroup controller {', '.join(missing)}")


def _cgroup_controllers(mountinfo: str) -> Iterator[str]:
    """The controllers of every cgroup v1 and v2 mount of `man 5 proc_pid_mountinfo`."""
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        if kind == "cgroup":
            yield from options.split(",")
        elif kind == "cgroup2":
            path = Path(mount.split()[4]) / "cgroup.controllers"
            yield from path.read_text().split() if path.exists() else ()


# --- names, ports, networks ---------------------------------------------------------------------


def new_cluster_id() -> str:
    """Six hex digits that no bridge on this machine carries yet."""
    while Path(f"/sys/class/net/podium-{(cluster_id := secrets.token_hex(3))}").exists():
        pass
    return cluster_id


def default_node_name() -> str:
    """The hostname as a DNS-1123 subdomain, as Kubernetes wants node names."""
    name = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip(".-")
    return name[:63].rstrip(".-") or "node"


def check_node_name(name: str) -> None:
    """A node's name is part of paths, cgroups and certificates."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) or len(name) > 63:
        raise Unfit(
            f"node name {name!r} will not do: at most 63 lower case letters, digits, '-' and '.'"
        )


def check_port(host: str, port: int) -> int:
    """The port to serve at (0: any free one is chosen); raises if somebody has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except (OSError, OverflowError) as error:
            raise Unfit(_cannot_bind(host, port, error)) from error


def _cannot_bind(host: str, port: int, error: OSError | OverflowError) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        owner = port_owner(port) or "another process"
        return f"port {port} is already in use by {owner}; choose another with --port"
    if code == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    return f"cannot listen at {host}:{port}: {error}"


def choose_pod_cidr(wanted: str | None, data_dir: Path) -> str:
    """A /16 for Pods that meets no route of this machine; `wanted`, if given, is only checked.

    10.244.0.0/16 for the cluster in the default place. Others begin to look elsewhere, each at a
    place of its own: a neighbour that is stopped just now has no route that could be seen.
    """
    routes = list(existing_routes())
    if wanted is not None:
        check_pod_cidr(wanted, routes)
        return wanted
    is_default = str(data_dir) == DEFAULT_DATA_DIR
    first = 244 if is_default else 128 + zlib.crc32(str(data_dir).encode()) % 128
    for second in [*range(first, 256), *range(128, first)]:
        network = ipaddress.IPv4Network(f"10.{second}.0.0/16")
        if not any(network.overlaps(route) for _, route in routes):
            return str(network)
    raise Unfit("every 10.x.0.0/16 meets a route of this machine; give a network with --pod-cidr")


def check_pod_cidr(
    cidr: str, routes: list[tuple[str, ipaddress.IPv4Network]], own_bridges: tuple[str, ...] = ()
) -> None:
    """Whether Pods may have this network; routes through `own_bridges` are the cluster's own."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise Unfit(f"pod network {cidr!r} will not do: {error}") from error
    if network.prefixlen > 28:
        raise Unfit(f"pod network {cidr} is too small: it needs a /28 or larger")
    for interface, route in routes:
        if interface not in own_bridges and network.overlaps(route):
            way_out = "give another with --pod-cidr"
            if own_bridges:  # a cluster that exists cannot move
                way_out = "take that route away, or stop the cluster it belongs to"
            raise Unfit(f"pod network {cidr} meets the route to {route} by {interface}; {way_out}")


def existing_routes() -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    """(interface, network) of each IPv4 route but the default one, from /proc/net/route."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, *rest = line.split()
        mask = int.from_bytes(bytes.fromhex(rest[5]), "little")
        if mask:
            address = int.from_bytes(bytes.fromhex(destination), "little")
            yield interface, ipaddress.IPv4Network((address, mask.bit_count()))


def check_data_dir(data_dir: Path) -> None:
    """A new cluster moves only into an empty directory: `down --purge` will empty it again."""
    if data_dir.exists() and not data_dir.is_dir():
        raise Unfit(f"{data_dir} is not a directory")
    if (data_dir / "cluster.json").exists() or not data_dir.exists():
        return
    found = {path.name for path in data_dir.iterdir()} - {"lost+found"}
    if found == {"run"} and not set(os.listdir(data_dir / "run")) - {"operation.lock"}:
        return  # another `podium up` has just begun: we wait for it at its lock
    if found:
        raise Unfit(f"{data_dir} is not empty and holds no cluster of podium's")


def check_otlp(endpoint: str) -> None:
    """That spans can be handed on; whether the collector is there shows later."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unfit(f'"{endpoint}" is no URL of a collector, e.g. http://127.0.0.1:4318')
    if importlib.util.find_spec("opentelemetry") is None:
        raise Unfit("handing spans on needs OpenTelemetry's SDK: pip install 'podium[otlp]'")
