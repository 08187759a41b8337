"""An emptyDir of huge pages: which size, and how it is mounted.

Room kubelet; called by volumes.py. Medium "HugePages-2Mi" says its size; "HugePages" is the one
size that the Pod's containers request. What is written to it is charged to the writer's hugetlb
limit. Source: kubelet `pkg/volume/emptydir`, Kubernetes docs "Manage HugePages".
"""

from __future__ import annotations

from typing import Any

from kubelet.environment import ConfigMissing
from kubelet.hardware import HUGE_PAGES
from kubelet.resources import containers_of, request
from podium.api import quantity

Object = dict[str, Any]

MEDIUM = "HugePages"


class PageSizeUnknown(ConfigMissing):
    """The Pod does not say of which size its huge pages are."""


def mount_options(pod: Object, medium: str) -> str:
    """ "pagesize=2M" for hugetlbfs (kernel: `admin-guide/mm/hugetlbpage.rst`)."""
    size = medium.removeprefix(f"{MEDIUM}-") if medium != MEDIUM else _requested(pod)
    if f"{HUGE_PAGES}{size}" not in _sizes(pod):
        raise PageSizeUnknown(f'medium "{medium}": no container requests {HUGE_PAGES}{size}')
    return f"pagesize={quantity.memory_bytes(size) >> 10}K"


def _requested(pod: Object) -> str:
    sizes = _sizes(pod)
    if len(sizes) != 1:
        found = ", ".join(sorted(sizes)) or "none"
        raise PageSizeUnknown(f'medium "{MEDIUM}" needs one size of huge pages, found {found}')
    return sizes.pop().removeprefix(HUGE_PAGES)


def _sizes(pod: Object) -> set[str]:
    """Names of resources."""
    return {
        name
        for container in containers_of(pod)
        for name in (container.get("resources") or {}).get("requests") or {}
        if name.startswith(HUGE_PAGES) and request(container, name)
    }
