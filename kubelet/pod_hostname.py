"""What a Pod calls itself. Pure but for the node's own name.

Room kubelet; called by pod_files.py, container_config.py and pod_sync.py.
Source: kubelet `GeneratePodHostNameAndDomain`, `GetNodenameForKernel`.
"""

from __future__ import annotations

import platform
from typing import Any

Object = dict[str, Any]

CLUSTER_DOMAIN = "cluster.local"
MAX_HOSTNAME = 63
MAX_KERNEL_NAME = 64  # `man 2 sethostname`


class NameTooLong(Exception):
    """A Pod whose full name the kernel does not take: FailedCreatePodSandBox."""


def hostname(pod: Object) -> str:
    """At most 63 bytes, without a dash or dot at its end."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:MAX_HOSTNAME].rstrip("-.")


def full_name(pod: Object, cluster_domain: str = CLUSTER_DOMAIN) -> str:
    """With the subdomain that a headless Service of that name gives it; "" without one."""
    if not (subdomain := pod["spec"].get("subdomain")):
        return ""
    return f"{hostname(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{cluster_domain}"


def kernel_name(pod: Object, cluster_domain: str = CLUSTER_DOMAIN) -> str:
    """What `hostname` prints inside: the node's name for a Pod in the node's network, which shares
    its UTS namespace. Raises NameTooLong."""
    if pod["spec"].get("hostNetwork"):
        return platform.node()
    full = full_name(pod, cluster_domain)
    if not pod["spec"].get("setHostnameAsFQDN") or not full:
        return hostname(pod)
    if len(full) > MAX_KERNEL_NAME:
        raise NameTooLong(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too "
            f"long ({MAX_KERNEL_NAME} is the max, {len(full)} characters requested)"
        )
    return full
