"""Rules for resourceFieldRef: which amounts a container may be told, in which units. Room: the API
server. Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import invalid, not_supported, required
from podium.api import quantity
from podium.api.status import Cause

Object = dict[str, Any]

_FIELDS = tuple(
    f"{kind}.{name}"
    for kind in ("limits", "requests")
    for name in ("cpu", "ephemeral-storage", "memory")
)
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1", "cpu"),
    "memory": (_BYTES, ", ".join(_BYTES), "memory"),
    "ephemeral-storage": (_BYTES, ", ".join(_BYTES), "local ephemeral storage"),
    "hugepages": (_BYTES, ", ".join(_BYTES), "hugepages"),
}


def resource_field(reference: Object, path: str, *, in_volume: bool = False) -> list[Cause]:
    """In a volume there is no container that is meant unless it is named."""
    name = reference.get("resource", "")
    if in_volume and not reference.get("containerName"):
        return [required(f"{path}.containerName")]
    if not name:
        return [required(f"{path}.resource")]
    kind, _, amount = name.partition(".")
    is_hugepages = kind in ("limits", "requests") and amount.startswith("hugepages-")
    if name not in _FIELDS and not is_hugepages:
        return [not_supported(f"{path}.resource", name, _FIELDS)]
    return _divisor("hugepages" if is_hugepages else amount, reference.get("divisor"), path)


def _divisor(amount: str, divisor: Any, path: str) -> list[Cause]:
    values, said, title = _DIVISORS[amount]
    if divisor is None or quantity.parse(divisor) == 0:
        return []
    if quantity.canonical(divisor) in values:
        return []
    why = f"only divisor's values {said} are supported with the {title} resource"
    return [invalid(f"{path}.divisor", amount, why)]
