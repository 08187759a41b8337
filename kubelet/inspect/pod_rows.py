"""The fields of a Pod as a whole that no cgroup holds: its namespaces and what is kept in them, and
its network. Room kubelet/inspect; reads only.

`first` is the first process of one of its containers, which is in the Pod's namespaces; `network`
is what network/reading.py found, {} for a Pod in the node's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelet import network_wishes, sysctls
from kubelet.inspect import inside
from kubelet.inspect.processes import Process
from kubelet.inspect.rows import row
from kubelet.runtime.syscalls import sysctl_path

Object = dict[str, Any]

NAMESPACE_FIELDS = (
    ("hostNetwork", "net", "unshare(CLONE_NEWNET)"), ("hostIPC", "ipc", "unshare(CLONE_NEWIPC)"),
    ("hostPID", "pid", "clone(CLONE_NEWPID)"), ("hostUsers", "user", "unshare(CLONE_NEWUSER)"),
)  # fmt: skip
_COUNTS = ("packets", "bytes", "waitingPackets", "drops", "overLimits")


def rows(pod: Object, first: Process, host: Process, network: Object) -> Iterator[Object]:
    yield from _namespaces(pod["spec"], first, host)
    wanted = sysctls.of_pod(pod)
    files = {name: sysctl_path(name) for name in wanted}
    found = inside.read(first, files.values())
    yield row(
        "spec.hostname", pod["spec"].get("hostname"), "/proc/sys/kernel/hostname",
        "sethostname(2)", found.hostname,
    )  # fmt: skip
    for name, file in files.items():
        if file in found.sysctls:
            field = f"spec.securityContext.sysctls[{name}]"
            yield row(field, wanted[name], file, "write(2)", found.sysctls[file])
    yield from _bandwidth(pod, network)
    yield from _host_ports(pod, network)


def _namespaces(spec: Object, first: Process, host: Process) -> Iterator[Object]:
    own, hosts = first.namespaces(), host.namespaces()
    for field, kind, call in NAMESPACE_FIELDS:
        live = f"{own[kind]}, {'the host' if own[kind] == hosts[kind] else 'not the host'}'s"
        yield row(f"spec.{field}", spec.get(field), f"/proc/{first.pid}/ns/{kind}", call, live)
    if spec.get("shareProcessNamespace"):
        file = f"/proc/{first.pid}/ns/pid"
        yield row("spec.shareProcessNamespace", True, file, "setns(2)", str(own["pid"]))


def _bandwidth(pod: Object, network: Object) -> Iterator[Object]:
    annotations = pod["metadata"].get("annotations") or {}
    kinds = {one["name"]: one["kind"] for one in network.get("hostInterfaces", ())}
    for queue in network.get("queues", ()):
        if not queue["rateBitsPerSecond"]:
            continue
        kind = kinds.get(queue["interface"])
        name = network_wishes.EGRESS if kind == "ifb" else network_wishes.INGRESS
        yield row(
            f"metadata.annotations[{name}]", annotations.get(name),
            f"queue {queue['kind']} of {queue['interface']}", "netlink(7): RTM_NEWQDISC",
            f"{queue['rateBitsPerSecond']} bit/s", usage={count: queue[count] for count in _COUNTS},
        )  # fmt: skip


def _host_ports(pod: Object, network: Object) -> Iterator[Object]:
    asked = {(port.host_port, port.container_port) for port in network_wishes.host_ports(pod)}
    for rule in network.get("rules", ()):
        port = int(rule["to"].rpartition(":")[2] or 0)
        if (rule["hostPort"], port) in asked:
            yield row(
                f"spec.containers[*].ports[{port}].hostPort", rule["hostPort"],
                f"nftables: ip {rule['table']} {rule['chain']}", "netlink(7): NFT_MSG_NEWRULE",
                f"dnat to {rule['to']}", usage={"packets": rule["packets"], "bytes": rule["bytes"]},
            )  # fmt: skip
