"""What a machine has that cgroup values are worked out from; read once, when the kubelet starts.

Room kubelet; made by agent.py. As in Kubernetes, a pool of huge pages that is changed later is
seen after a restart of the kubelet.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from podium.api.resource_annotations import cpus

HUGE_PAGES = "hugepages-"  # the prefix of Kubernetes' resource names


@dataclass(frozen=True)
class Hardware:
    """`huge_pages` is how many bytes are set aside, by the size of a page in bytes."""

    memory_bytes: int = 0
    swap_bytes: int = 0
    cpus: frozenset[int] = frozenset()
    huge_pages: dict[int, int] = field(default_factory=dict)

    def huge_page_quantities(self) -> dict[str, str]:
        """{"hugepages-2Mi": "64Mi", "hugepages-1Gi": "0"}, as a Node shows them."""
        return {
            page_resource(page): f"{pool >> 20}Mi" if pool else "0"
            for page, pool in self.huge_pages.items()
        }


def read_hardware(proc: str = "/proc", sys: str = "/sys") -> Hardware:
    with open(f"{proc}/meminfo", encoding="ascii") as file:
        meminfo = {name: int(rest.split()[0]) * 1024 for name, rest in map(_pair, file)}
    with open(f"{sys}/devices/system/cpu/online", encoding="ascii") as file:
        online = cpus(file.read().strip())
    return Hardware(
        memory_bytes=meminfo["MemTotal"],
        swap_bytes=meminfo.get("SwapTotal", 0),
        cpus=online,
        huge_pages=_huge_pages(f"{sys}/kernel/mm/hugepages"),
    )


def _pair(line: str) -> tuple[str, str]:
    name, _, rest = line.partition(":")
    return name, rest


def _huge_pages(directory: str) -> dict[int, int]:
    """From "hugepages-2048kB/nr_hugepages"; nothing where the kernel has no huge pages."""
    found = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        page = int(name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        with open(f"{directory}/{name}/nr_hugepages", encoding="ascii") as file:
            found[page] = page * int(file.read())
    return found


def page_resource(page_bytes: int) -> str:
    """2097152 → "hugepages-2Mi"."""
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if page_bytes % size == 0:
            return f"{HUGE_PAGES}{page_bytes // size}{unit}"
    return f"{HUGE_PAGES}{page_bytes}"


def page_cgroup_name(page_bytes: int) -> str:
    """2097152 → "2MB", as in the names of the hugetlb controller's files."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if page_bytes % size == 0:
            return f"{page_bytes // size}{unit}"
    return f"{page_bytes}B"
