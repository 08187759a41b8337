"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a Pod, and what its containers say as they end.

Room kubelet; called by container_config.py and pod_sync.py.
Source: kubelet `pkg/kubelet/kubelet_pods.go` and `pkg/kubelet/network/dns`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubelet.dns import Dns
from kubelet.pod_hostname import CLUSTER_DOMAIN, full_name, hostname, kernel_name
from kubelet.runtime.protocol import Mount

Object = dict[str, Any]

MAX_TERMINATION_MESSAGE = 4096
DEFAULT_TERMINATION_PATH = "/dev/termination-log"
_IPV6_HOSTS = (
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)


def etc_mounts(
    pod: Object, ip: str, directory: Path, taken: Iterable[str], dns: Dns
) -> list[Mount]:
    """Write the files and say where they go, but not where a volume of the container stands."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    occupied = {path.rstrip("/") for path in taken}
    texts = {
        "hosts": hosts(pod, ip, dns.domain),
        "hostname": f"{kernel_name(pod, dns.domain)}\n",
        "resolv.conf": dns.resolv_conf(pod),
    }
    mounts = []
    for name, text in texts.items():
        path = directory / name
        if _read(str(path)) != text:
            path.write_text(text)
        if f"/etc/{name}" not in occupied:
            mounts.append(Mount(str(path), f"/etc/{name}", ids="private"))
    return mounts


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def hosts(pod: Object, ip: str, domain: str = CLUSTER_DOMAIN) -> str:
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + _read("/etc/hosts")
    else:
        lines = ["# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost", *_IPV6_HOSTS]
        if ip:
            names = [full_name(pod, domain), hostname(pod)]
            lines.append("\t".join([ip, *filter(None, names)]))
        text = "\n".join(lines) + "\n"
    aliases = [
        f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ())
        for alias in spec.get("hostAliases") or ()
    ]
    if aliases:
        text += "\n# Entries added by HostAliases.\n" + "\n".join(aliases) + "\n"
    return text


# ---- last words ---------------------------------------------------------------------------------


def termination_mount(container: Object, directory: Path, attempt: int) -> Mount:
    """An empty file in which this attempt may leave a message."""
    path = _termination_file(container, directory, attempt)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)  # whoever the container runs as
    target = container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH
    return Mount(str(path), target, ids="private")


def termination_message(container: Object, directory: Path, attempt: int) -> str:
    """What that attempt left; "" for nothing."""
    try:
        with open(_termination_file(container, directory, attempt), "rb") as file:
            return file.read(MAX_TERMINATION_MESSAGE).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _termination_file(container: Object, directory: Path, attempt: int) -> Path:
    name: str = container["name"]
    return directory / "containers" / name / str(attempt)
