"""What there is: the discovery documents, made from the scheme. Pure functions of the API server.

Legacy (`/api`, `/apis`, `/api/v1`, `/apis/GROUP/VERSION`) and aggregated
(`as=APIGroupDiscoveryList`), which saves a cold kubectl most of its requests.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from podium.api.scheme import Resource, all_resources

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

Body = dict[str, Any]

# What a subresource speaks: (group, version, kind, verbs).
_SUBRESOURCES: dict[str, tuple[str, str, str, list[str]]] = {
    "status": ("", "", "", ["get", "patch", "update"]),
    "resize": ("", "", "", ["get", "patch", "update"]),
    "scale": ("autoscaling", "v1", "Scale", ["get", "patch", "update"]),
    "binding": ("", "v1", "Binding", ["create"]),
    "eviction": ("policy", "v1", "Eviction", ["create"]),
    "ephemeralcontainers": ("", "v1", "Pod", ["get", "patch", "update"]),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ["create"]),
    "log": ("", "v1", "Pod", ["get"]),
    "inspect": ("podium.dev", "v1", "PodInspection", ["get"]),
    "commands": ("", "v1", "Pod", ["get"]),
    "exec": ("", "v1", "PodExecOptions", ["create", "get"]),
    "attach": ("", "v1", "PodAttachOptions", ["create", "get"]),
    "portforward": ("", "v1", "PodPortForwardOptions", ["create", "get"]),
    "proxy": ("", "v1", "NodeProxyOptions", ["create", "delete", "get", "patch", "update"]),
    "finalize": ("", "", "", ["update"]),
}

# Kinds that are asked and never stored.
REVIEWS: tuple[Resource, ...] = (
    Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview", (), False,
             verbs=("create",)),
    Resource("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews",
             "selfsubjectreview", (), False, verbs=("create",)),
    Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews",
             "selfsubjectaccessreview", (), False, verbs=("create",)),
)  # fmt: skip

# Kinds that are read and never stored: the kubelets know them.
METRICS: tuple[Resource, ...] = (
    Resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", "", (), False,
             verbs=("get", "list")),
    Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", "", verbs=("get", "list")),
)  # fmt: skip


@cache
def _served() -> dict[tuple[str, str], list[Resource]]:
    served: dict[tuple[str, str], list[Resource]] = {}
    for resource in (*all_resources(), *REVIEWS, *METRICS):
        served.setdefault((resource.group, resource.version), []).append(resource)
    return served


def groups() -> list[tuple[str, str]]:
    """(group, version) of everything served, the core group as ("", "v1")."""
    return list(_served())


def api_versions() -> Body:
    """/api"""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_group_list() -> Body:
    """/apis"""
    named = [group for group, _ in groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in named]}


def _group(group: str) -> Body:
    version = next(v for g, v in groups() if g == group)
    entry = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [entry], "preferredVersion": entry}


def api_group(group: str) -> Body | None:
    """/apis/GROUP, None when there is no such group."""
    if not any(g == group for g, _ in groups()):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def api_resource_list(group: str, version: str) -> Body | None:
    """/api/v1 and /apis/GROUP/VERSION, None when there is no such thing."""
    resources = _served().get((group, version))
    if resources is None:
        return None
    listed: list[Body] = []
    for resource in resources:
        listed.append(_legacy(resource))
        listed += [_legacy_subresource(resource, name) for name in resource.subresources]
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }


def _legacy(resource: Resource) -> Body:
    entry: Body = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _legacy_subresource(resource: Resource, name: str) -> Body:
    group, version, kind, verbs = _SUBRESOURCES[name]
    entry: Body = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind or resource.kind,
        "verbs": verbs,
    }
    if (group, version) != ("", "") and (group, version) != (resource.group, resource.version):
        entry |= {"group": group, "version": version}
    return entry


def aggregated(core: bool) -> Body:
    """The APIGroupDiscoveryList of /api (`core`) or of /apis."""
    items = []
    for group, version in groups():
        if bool(group) == core:
            continue
        resources = [_aggregated(r) for r in _served()[group, version]]
        entry = {"version": version, "resources": resources, "freshness": "Current"}
        metadata: Body = (
            {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
        )
        items.append({"metadata": metadata, "versions": [entry]})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(resource: Resource) -> Body:
    entry: Body = {
        "resource": resource.plural,
        "responseKind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            _aggregated_subresource(resource, n) for n in resource.subresources
        ]
    return entry


def _aggregated_subresource(resource: Resource, name: str) -> Body:
    group, version, kind, verbs = _SUBRESOURCES[name]
    response = {
        "group": group if kind else resource.group,
        "version": version or resource.version,
        "kind": kind or resource.kind,
    }
    return {"subresource": name, "responseKind": response, "verbs": verbs}
