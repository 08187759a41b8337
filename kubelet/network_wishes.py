"""What a Pod asks of the network: bandwidth by annotation, ports of the node. Pure.

Room kubelet; called by pod_sync.py.
Source: Kubernetes `pkg/util/bandwidth` (the annotations), kubelet `pkg/kubelet/container` (ports).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kubelet.network import Bandwidth, HostPort, NetworkError
from podium.api import quantity

Object = dict[str, Any]

INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"
MIN_BITS, MAX_BITS = 10**3, 10**15


def bandwidth(pod: Object) -> Bandwidth:
    """Raises NetworkError for what is no quantity, or an unreasonable one."""
    annotations = pod["metadata"].get("annotations") or {}
    return Bandwidth(_bits(annotations.get(INGRESS)), _bits(annotations.get(EGRESS)))


def _bits(text: str | None) -> int:
    if text is None:
        return 0
    failed = "failed to get pod bandwidth from annotations"
    try:
        found: Fraction = quantity.parse(text)
    except ValueError as failure:
        raise NetworkError(f"{failed}: {failure}") from None
    if found < MIN_BITS:
        raise NetworkError(f"{failed}: resource is unreasonably small (< 1kbit)")
    if found > MAX_BITS:
        raise NetworkError(f"{failed}: resource is unreasonably large (> 1Pbit)")
    return int(found)


def host_ports(pod: Object) -> tuple[HostPort, ...]:
    """Those that must lead to the Pod's own address: a Pod on the node's network has them anyway.
    IPv6 addresses of the node are left out."""
    if pod["spec"].get("hostNetwork"):
        return ()
    return tuple(port for port in taken_ports(pod) if ":" not in port.host_ip)


def taken_ports(pod: Object) -> list[HostPort]:
    """The node's ports that nobody else can have."""
    spec = pod["spec"]
    staying = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [
        HostPort(
            port.get("protocol") or "TCP",
            port.get("hostIP") or "",
            port["hostPort"],
            port["containerPort"],
        )
        for container in [*staying, *spec["containers"]]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def is_same_port(one: HostPort, other: HostPort) -> bool:
    """On the same address, or either of them on all."""
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    return one.host_ip == other.host_ip or bool({one.host_ip, other.host_ip} & {"", "0.0.0.0"})
