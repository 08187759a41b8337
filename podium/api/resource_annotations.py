"""Resources that Kubernetes has no field for, as annotations of a Pod in Podium's own domain. Pure.

    cpuset.podium.dev/<container>: "0-1,3"          the CPUs that it may run on
    pids.podium.dev/<container>: "100"              how many processes and threads it may have
    devices.podium.dev/<container>: "/dev/fuse,/dev/net/tun:rw"
    io.podium.dev/read-bps: "10Mi"                  of the whole Pod, on each disk
    read-bps.io.podium.dev/<container>: "10Mi"      of one container; also write-bps, read-iops,
                                                    write-iops, and weight ("1" to "1000")

Room podium/api: the API server refuses what cannot be read, the kubelet acts on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from podium.api import quantity

DOMAIN = "podium.dev"
CPUSET, PIDS, DEVICES = f"cpuset.{DOMAIN}", f"pids.{DOMAIN}", f"devices.{DOMAIN}"
IO = f"io.{DOMAIN}"
RATES, WEIGHT = ("read-bps", "write-bps", "read-iops", "write-iops"), "weight"
MIN_WEIGHT, MAX_WEIGHT = 1, 1000
MIN_PIDS = 1
MAX_RATE = (1 << 63) - 1
_MAX_CPU = 8191  # the kernel's own NR_CPUS cannot be higher
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_DEVICE = re.compile(r"(/dev/[^:,\s]+)(?::([rwm]{1,3}))?")


@dataclass(frozen=True)
class Io:
    """Bytes and operations per second; 0 = no limit, and for the weight: the kernel's default."""

    read_bps: int = 0
    write_bps: int = 0
    read_iops: int = 0
    write_iops: int = 0
    weight: int = 0

    @property
    def is_limited(self) -> bool:
        return any((self.read_bps, self.write_bps, self.read_iops, self.write_iops))


@dataclass(frozen=True)
class DeviceRequest:
    path: str  # on the node, and in the container: "/dev/fuse"
    permissions: str  # of "r", "w" and "m"


# Each of these raises ValueError, with a message in Kubernetes' manner.


def cpus(value: str) -> frozenset[int]:
    """ "0-1,3" → {0, 1, 3}, the form of `man 7 cpuset`, "List format"."""
    found: set[int] = set()
    for part in value.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= _MAX_CPU:
            raise ValueError("must be a list of CPUs and ranges of CPUs, such as 0-1,3")
        found.update(range(first, last + 1))
    return frozenset(found)


def cpu_list(numbers: Collection[int]) -> str:
    """{0, 1, 3} → "0-1,3"."""
    parts: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def device_requests(value: str) -> list[DeviceRequest]:
    """ "/dev/fuse,/dev/net/tun:rw"; without permissions it is all of them."""
    found = []
    for part in value.split(","):
        match = _DEVICE.fullmatch(part.strip())
        if match is None or ".." in match[1].split("/"):
            raise ValueError("must be a list of device nodes such as /dev/fuse,/dev/net/tun:rw")
        found.append(DeviceRequest(match[1], match[2] or "rwm"))
    return found


def pids(value: str) -> int:
    return _integer(value, MIN_PIDS, (1 << 22))  # the kernel's PID_MAX_LIMIT


def _rate(value: str) -> int:
    try:
        found = quantity.memory_bytes(value)
    except ValueError:
        raise ValueError("must be a quantity such as 10Mi") from None
    if not 0 < found <= MAX_RATE:
        raise ValueError("must be greater than 0")
    return found


def _integer(value: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise ValueError(f"must be between {least} and {most}, inclusive")
    return int(value)


def _io_value(name: str, value: str) -> int:
    return _integer(value, MIN_WEIGHT, MAX_WEIGHT) if name == WEIGHT else _rate(value)


# ---- a Pod's annotations ------------------------------------------------------------------------


def io_of(annotations: Mapping[str, str], container: str = "") -> Io:
    """What is asked for one container, or, with "", for the Pod as a whole."""
    found = {
        name.replace("-", "_"): _io_value(name, annotations[key])
        for name in (*RATES, WEIGHT)
        if (key := _io_key(name, container)) in annotations
    }
    return Io(**found)


def _io_key(name: str, container: str) -> str:
    return f"{name}.{IO}/{container}" if container else f"{IO}/{name}"


def speaks_of_io(annotations: Mapping[str, str]) -> bool:
    """Whether anything is asked of the disks, for the Pod or for a container."""
    return any(key.partition("/")[0].endswith(IO) for key in annotations)


def asks_for_io_weight(annotations: Mapping[str, str]) -> bool:
    keys = (key.partition("/") for key in annotations)
    return any((a, b) == (IO, WEIGHT) or a == f"{WEIGHT}.{IO}" for a, _, b in keys)


def asks_for_resources(key: str) -> bool:
    prefix, slash, _ = key.partition("/")
    return bool(slash) and (prefix == IO or prefix in _OF_CONTAINERS)


def problems(
    annotations: Mapping[str, str], containers: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """(key, value, what is wrong with it) for each that cannot be acted on."""
    for key, value in annotations.items():
        if not asks_for_resources(key):
            continue
        prefix, _, name = key.partition("/")
        try:
            if prefix == IO:
                _check_pod_io(name, value)
            elif name not in containers:
                raise ValueError(f'the pod has no container "{name}"')
            else:
                _OF_CONTAINERS[prefix](value)
        except ValueError as problem:
            yield key, value, str(problem)


def _check_pod_io(name: str, value: str) -> None:
    if name not in (*RATES, WEIGHT):
        raise ValueError(f"there is no such limit; supported: {', '.join((*RATES, WEIGHT))}")
    _io_value(name, value)


def _weight(value: str) -> int:
    return _io_value(WEIGHT, value)


_OF_CONTAINERS: dict[str, Callable[[str], object]] = {
    CPUSET: cpus,
    PIDS: pids,
    DEVICES: device_requests,
    **{f"{name}.{IO}": _rate for name in RATES},
    f"{WEIGHT}.{IO}": _weight,
}
