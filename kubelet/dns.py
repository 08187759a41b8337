"""/etc/resolv.conf of a Pod: by its dnsPolicy, its dnsConfig and the node's settings. Pure, but for
reading the node's own file.

Room kubelet; called by pod_files.py, and by pod_sync.py for what is to be said of it.
Source: kubelet `pkg/kubelet/network/dns/dns.go`, v1.32; `man 5 resolv.conf`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelet.configuration import KubeletConfiguration
from kubelet.pod_hostname import CLUSTER_DOMAIN

Object = dict[str, Any]

MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_LINE = 3, 32, 2048
_CLUSTER_OPTIONS = ["ndots:5"]
_OF_SYSTEMD = "/run/systemd/resolve/resolv.conf"  # the servers behind 127.0.0.53


@dataclass(frozen=True)
class Dns:
    """A node's settings."""

    servers: tuple[str, ...] = ()  # of the cluster; () while there is none
    domain: str = CLUSTER_DOMAIN
    host_file: str = "/etc/resolv.conf"  # "": nothing of the node's

    def resolv_conf(self, pod: Object) -> str:
        return "".join(f"{line}\n" for line in _fitting(self._wanted(pod)).lines())

    def warnings(self, pod: Object) -> list[str]:
        """What did not fit, as Kubernetes' event DNSConfigForming says it."""
        wanted = self._wanted(pod)
        fitting, found = _fitting(wanted), []
        if len(fitting.searches) < len(wanted.searches):
            found.append(
                "Search Line limits were exceeded, some search paths have been omitted, the "
                f"applied search line is: {' '.join(fitting.searches)}"
            )
        if len(fitting.servers) < len(wanted.servers):
            found.append(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
                f"nameserver line is: {' '.join(fitting.servers)}"
            )
        return found

    def missing_cluster_dns(self, pod: Object) -> str:
        """What Kubernetes says of a Pod that would use the cluster's DNS where there is none; ""
        for one that would not, or that has it."""
        policy = _policy(pod)
        if policy != "ClusterFirst" or self.servers:
            return ""
        return (
            "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
            '"ClusterFirst" policy. Falling back to "Default" policy.'
        )

    def _wanted(self, pod: Object) -> _Config:
        found = self._by_policy(pod, _policy(pod))
        config = pod["spec"].get("dnsConfig") or {}
        return _Config(
            _unique([*found.servers, *(config.get("nameservers") or ())]),
            _unique([*found.searches, *(config.get("searches") or ())]),
            _merged(found.options, config.get("options") or ()),
        )

    def _by_policy(self, pod: Object, policy: str) -> _Config:
        if policy == "None":
            return _Config()
        host = _read(self.host_file)
        if policy == "ClusterFirst" and self.servers:
            own = f"svc.{self.domain}"
            searches = [f"{pod['metadata']['namespace']}.{own}", own, self.domain]
            servers = list(self.servers)
            return _Config(servers, [*searches, *host.searches], list(_CLUSTER_OPTIONS))
        return host


def dns_of(settings: KubeletConfiguration) -> Dns:
    return Dns(settings.cluster_dns, settings.cluster_domain, settings.resolv_conf)


@dataclass
class _Config:
    servers: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield from (f"nameserver {server}" for server in self.servers)
        if self.searches:
            yield f"search {' '.join(self.searches)}"
        if self.options:
            yield f"options {' '.join(self.options)}"


def _policy(pod: Object) -> str:
    """What it comes to: a Pod on the node's network has the node's DNS, unless it asks for the
    cluster's."""
    spec = pod["spec"]
    policy = str(spec.get("dnsPolicy") or "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        return "Default"
    return "ClusterFirst" if policy == "ClusterFirstWithHostNet" else policy


def _fitting(config: _Config) -> _Config:
    searches = config.searches[:MAX_SEARCHES]
    while len(" ".join(searches)) > MAX_SEARCH_LINE:
        searches.pop()
    return _Config(config.servers[:MAX_NAMESERVERS], searches, config.options)


def _read(path: str) -> _Config:
    """The node's file, or systemd's with the real servers where that names nobody but the stub on
    the loopback, which no Pod can ask."""
    if not path:
        return _Config()
    found = parse(_text(path))
    if path == "/etc/resolv.conf" and found.servers and all(map(_is_loopback, found.servers)):
        real = parse(_text(_OF_SYSTEMD))
        if real.servers:
            return real
    return found


def parse(text: str) -> _Config:
    found = _Config()
    for words in (line.split() for line in text.splitlines()):
        match words:
            case ["nameserver", server, *_]:
                found.servers.append(server)
            case ["search", *names]:
                found.searches = [name for name in names if name != "."]
            case ["options", *names]:
                found.options = names
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _merged(options: list[str], added: Iterable[Object]) -> list[str]:
    """An option of the Pod replaces the one of that name."""
    values = {option.partition(":")[0]: option for option in options}
    for option in added:
        value = option.get("value")
        values[option["name"]] = option["name"] if value is None else f"{option['name']}:{value}"
    return list(values.values())
