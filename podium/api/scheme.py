"""The kinds this cluster serves: where each lives under /api and /apis, and by which names it goes.

Pure data, imported by every process; it must stay cheap, for the `podium` command imports it at
each start. The fields of a kind are in `podium.api.schema`, which only the API server loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource. `subresources` are the names after the object's: "status", "log"."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS

    @property
    def api_version(self) -> str:
        """ "v1" or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path_prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def key(self) -> str:
        """ "pods" or "deployments.apps": what errors and RBAC call it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = [self.path_prefix]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


RESOURCES: tuple[Resource, ...] = (
    Resource("", "v1", "Namespace", "namespaces", "namespace", ("ns",), False, (),
             ("status", "finalize"), tuple(v for v in ALL_VERBS if v != "deletecollection")),
    Resource("", "v1", "Node", "nodes", "node", ("no",), False, (), ("status", "proxy")),
    Resource("", "v1", "Pod", "pods", "pod", ("po",), True, ("all",),
             ("status", "resize", "binding", "log", "exec", "attach", "portforward", "eviction",
              "ephemeralcontainers", "inspect", "commands")),
    Resource("", "v1", "ConfigMap", "configmaps", "configmap", ("cm",)),
    Resource("", "v1", "Secret", "secrets", "secret"),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", ("sa",), True, (),
             ("token",)),
    Resource("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume", ("pv",),
             False, (), ("status",)),
    Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim",
             ("pvc",), True, (), ("status",)),
    Resource("", "v1", "Event", "events", "event", ("ev",)),
    Resource("apps", "v1", "Deployment", "deployments", "deployment", ("deploy",), True, ("all",),
             ("status", "scale")),
    Resource("apps", "v1", "ReplicaSet", "replicasets", "replicaset", ("rs",), True, ("all",),
             ("status", "scale")),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", "lease"),
    Resource("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass", (), False),
    Resource("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass",
             ("pc",), False),
    Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass", ("sc",),
             False),
    Resource("debug.podium.dev", "v1", "Breakpoint", "breakpoints", "breakpoint", ("bp",), False,
             (), ("status",)),
    Resource("debug.podium.dev", "v1", "Fault", "faults", "fault", (), False, (), ("status",)),
)  # fmt: skip

_BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
_BY_KIND = {(r.api_version, r.kind): r for r in RESOURCES}


@cache
def _names() -> dict[str, Resource]:
    names: dict[str, Resource] = {}
    for r in RESOURCES:
        for name in (r.key, r.plural, r.singular, r.kind.lower(), *r.short_names):
            names.setdefault(name, r)
        names.setdefault(f"{r.singular}.{r.group}", r)
    return names


def all_resources() -> tuple[Resource, ...]:
    return RESOURCES


def resource(name: str) -> Resource:
    """By plural, singular, short name, kind or key, in any case; LookupError when there is none."""
    try:
        return _names()[name.lower()]
    except KeyError:
        raise LookupError(f'the server doesn\'t have a resource type "{name}"') from None


def by_path(group: str, version: str, plural: str) -> Resource:
    """As the URL names it; LookupError when there is none."""
    return _BY_PATH[group, version, plural]


def by_kind(api_version: str, kind: str) -> Resource:
    """As an object names itself; LookupError when there is none."""
    return _BY_KIND[api_version, kind]
