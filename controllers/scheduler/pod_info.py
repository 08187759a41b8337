"""Room controllers/scheduler: a Pod as the scheduler sees it, parsed once.

What is asked of a node for every Pod and every node (requests, ports, selectors, tolerations) is
worked out here, so that the filters compare integers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from podium.api import quantity
from podium.api.meta import key_of
from podium.api.selectors import LabelSelector, Requirement, from_labels

Object = dict[str, Any]
Resources = dict[str, int]  # {"cpu": 500, "memory": 67108864}: cpu in millicores
Port = tuple[str, str, int]  # ("TCP", "0.0.0.0", 8080)

ANY_ADDRESS = "0.0.0.0"  # as a hostIP it stands for all of them
# What a Pod that asks for nothing counts as when nodes are scored, so that such Pods spread too.
DEFAULT_CPU_MILLICORES = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """A nodeSelectorTerm: all its expressions must hold. An empty one matches no node."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]  # of metadata.name, the only field there is

    def matches(self, labels: dict[str, str], name: str) -> bool:
        if not self.labels and not self.fields:
            return False
        fields = {"metadata.name": name}
        return all(r.matches(labels) for r in self.labels) and all(
            r.matches(fields) for r in self.fields
        )


@dataclass(frozen=True, slots=True, eq=False)
class PodInfo:
    """One Pod. `obj` is the cached object: not to be changed."""

    key: str
    uid: str
    obj: Object
    priority: int
    requests: Resources  # what it takes of a node; only what is above zero
    scored_cpu_millicores: int
    scored_memory_bytes: int
    ports: frozenset[Port]
    tolerations: tuple[Object, ...]
    node_selector: LabelSelector
    required_terms: tuple[NodeTerm, ...] | None  # any of them; None: no such requirement
    preferred_terms: tuple[tuple[int, NodeTerm], ...]  # with their weights
    images: tuple[str, ...]

    @classmethod
    def of(cls, pod: Object) -> PodInfo:
        """Raises ValueError for a quantity that cannot be read (the API server refuses those)."""
        spec = pod["spec"]
        requests = pod_requests(with_resizes(pod))
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        cpu, memory = scored_requests(with_resizes(pod))
        return cls(
            key=key_of(pod),
            uid=pod["metadata"]["uid"],
            obj=pod,
            priority=spec.get("priority") or 0,
            requests={name: amount for name, amount in requests.items() if amount > 0},
            scored_cpu_millicores=cpu,
            scored_memory_bytes=memory,
            ports=frozenset(_host_ports(spec)),
            tolerations=tuple(spec.get("tolerations") or ()),
            node_selector=from_labels(spec.get("nodeSelector") or {}),
            required_terms=_terms(required.get("nodeSelectorTerms")) if required else None,
            preferred_terms=tuple(
                (one["weight"], _term(one.get("preference") or {})) for one in preferred
            ),
            images=tuple(c.get("image", "") for c in spec.get("containers") or ()),
        )


# --- requests -----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def amount(resource: str, value: str | int | float) -> int:
    """A quantity as an integer, rounded up: millicores of cpu, else bytes or pieces."""
    if resource == "cpu":
        return quantity.cpu_millicores(value)
    return quantity.memory_bytes(value)


def amounts(quantities: Object | None) -> Resources:
    """{"cpu": "500m"} → {"cpu": 500}."""
    return {name: amount(name, value) for name, value in (quantities or {}).items()}


def pod_requests(spec: Object, defaults: Resources | None = None) -> Resources:
    """What a Pod needs at its most demanding moment.

    Init containers run one after the other, so the largest counts; those that go on running
    (restartPolicy Always, KEP-753) count beside everything that starts after them.
    `defaults` stand for what a container does not ask for.
    """
    running: Resources = {}
    at_start: Resources = {}
    for container in spec.get("initContainers") or ():
        wanted = _container_requests(container, defaults)
        if container.get("restartPolicy") == "Always":
            running = plus(running, wanted)
            at_start = _at_least(at_start, running)
        else:
            at_start = _at_least(at_start, plus(running, wanted))
    for container in spec.get("containers") or ():
        running = plus(running, _container_requests(container, defaults))
    return plus(_at_least(running, at_start), amounts(spec.get("overhead")))


def with_resizes(pod: Object) -> Object:
    """The spec of a Pod with the requests that it may have to be given while it is resized: the
    most of what is wanted, agreed to and there; what can never be given is not counted (KEP-1287).
    """
    spec, status = pod["spec"], pod.get("status") or {}
    shown = {found["name"]: found for found in status.get("containerStatuses") or ()}
    if not any(found.get("resources") for found in shown.values()):
        return spec
    is_infeasible = status.get("resize") == "Infeasible"
    containers = [
        _with_most(container, shown.get(container["name"]) or {}, is_infeasible)
        for container in spec["containers"]
    ]
    return {**spec, "containers": containers}


def _with_most(container: Object, shown: Object, is_infeasible: bool) -> Object:
    wanted = (container.get("resources") or {}).get("requests") or {}
    there = (shown.get("resources") or {}).get("requests") or {}
    agreed = shown.get("allocatedResources") or {}
    given = [agreed, there] if is_infeasible and (agreed or there) else [wanted, agreed, there]
    names = {name for one in given for name in one}
    most = {
        name: max((one[name] for one in given if name in one), key=lambda v: amount(name, v))
        for name in names
    }
    return {**container, "resources": {"requests": most}}


def scored_requests(spec: Object) -> tuple[int, int]:
    """Millicores and bytes, with a small default for containers that ask for none."""
    defaults = {"cpu": DEFAULT_CPU_MILLICORES, "memory": DEFAULT_MEMORY_BYTES}
    wanted = pod_requests(spec, defaults)
    return wanted.get("cpu", 0), wanted.get("memory", 0)


def _container_requests(container: Object, defaults: Resources | None) -> Resources:
    requests = amounts((container.get("resources") or {}).get("requests"))
    return {**defaults, **requests} if defaults else requests


def plus(one: Resources, other: Resources) -> Resources:
    return {name: one.get(name, 0) + other.get(name, 0) for name in one.keys() | other.keys()}


def _at_least(one: Resources, other: Resources) -> Resources:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}


# --- ports and terms ----------------------------------------------------------------------------


def _host_ports(spec: Object) -> Iterable[Port]:
    staying = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*staying, *(spec.get("containers") or ())]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or ANY_ADDRESS
                yield port.get("protocol") or "TCP", address, port["hostPort"]


def _terms(terms: list[Object] | None) -> tuple[NodeTerm, ...]:
    return tuple(_term(term) for term in terms or ())


def _term(term: Object) -> NodeTerm:
    return NodeTerm(
        _requirements(term.get("matchExpressions")), _requirements(term.get("matchFields"))
    )


def _requirements(expressions: list[Object] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(e["key"], e["operator"], tuple(e.get("values") or ()))
        for e in expressions or ()
    )
