"""Room controllers/scheduler: integers of pod_info.py as people write them. Pure.

500 millicores are "500m", 2000 are "2"; 1073741824 bytes are "1Gi".
"""

from __future__ import annotations

BYTES = ("memory", "ephemeral-storage")
_UNITS = (("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10))
_MANY = 100  # of a unit, so that what is rounded off is no more than a hundredth


def is_bytes(resource: str) -> bool:
    return resource in BYTES or resource.startswith("hugepages-")


def shown(resource: str, amount: int) -> str:
    """Exactly, in the largest unit that leaves no fraction."""
    if resource == "cpu":
        return f"{amount // 1000}" if amount % 1000 == 0 else f"{amount}m"
    if is_bytes(resource) and amount:
        for unit, bits in _UNITS:
            if amount % (1 << bits) == 0:
                return f"{amount >> bits}{unit}"
    return str(amount)


def most(resource: str, amount: int) -> str:
    """At most the amount, shorter: bytes are rounded down to a unit of which there are many."""
    if is_bytes(resource):
        for _, bits in _UNITS:
            if amount >> bits >= _MANY:
                return shown(resource, amount >> bits << bits)
    return shown(resource, amount)
