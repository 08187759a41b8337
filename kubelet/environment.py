"""What a container finds in its environment: `env`, `envFrom`, the downward API. Pure functions.

Room kubelet; called by container_config.py, and by volumes.py for the downward API's files.
Source: Kubernetes API reference (EnvVar, EnvVarSource), docs "Define Dependent Environment
Variables".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podium.api import quantity

Object = dict[str, Any]

Fetch = Callable[[str, str, str], Object | None]
"""(kind "configmaps" or "secrets", namespace, name) → the object, None when there is none."""

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
_OF_THE_NODE = ("cpu", "memory", "ephemeral-storage")  # whose limit is the node's if there is none
_TITLES = {"configmaps": "ConfigMap", "secrets": "Secret"}


class ConfigMissing(Exception):
    """What a container's configuration needs is not there: CreateContainerConfigError."""


@dataclass(frozen=True)
class Surroundings:
    """Where a Pod finds itself: its address, its node, and the objects it may refer to."""

    pod_ip: str
    node: Object
    fetch: Fetch


def expand(text: str, env: Mapping[str, str]) -> str:
    """ "$(NAME)" by its value and "$$" by "$"; an unknown name stays as it is written."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else env.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def references_in(text: str) -> list[str]:
    """The names that "$(NAME)" refers to."""
    return [match[2] for match in _REFERENCE.finditer(text) if match[1] != "$"]


def environment(
    pod: Object,
    container: Object,
    around: Surroundings,
    services: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Where services are, then what `envFrom` and `env` say, in order, references expanded; raises
    ConfigMissing."""
    env: dict[str, str] = dict(services or {})
    for bulk in container.get("envFrom") or ():
        env |= _from_all(pod, bulk, around)
    for variable in container.get("env") or ():
        value = _value(pod, container, variable, env, around)
        if value is not None:
            env[variable["name"]] = value
    return env


def _from_all(pod: Object, bulk: Object, around: Surroundings) -> dict[str, str]:
    kind = "configmaps" if bulk.get("configMapRef") else "secrets"
    reference = bulk.get("configMapRef") or bulk.get("secretRef") or {}
    data = _data(pod, kind, reference, around)
    prefix = bulk.get("prefix") or ""
    return {f"{prefix}{key}": value for key, value in (data or {}).items()}


def _value(
    pod: Object, container: Object, variable: Object, env: Mapping[str, str], around: Surroundings
) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return expand(variable.get("value") or "", env)
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"]["fieldPath"], around)
    if source.get("resourceFieldRef"):
        return resource_value(pod, container, source["resourceFieldRef"], around.node)
    kind = "configmaps" if source.get("configMapKeyRef") else "secrets"
    reference = source.get("configMapKeyRef") or source.get("secretKeyRef") or {}
    data = _data(pod, kind, reference, around)
    if data is None or reference["key"] in data:
        return None if data is None else data[reference["key"]]
    if reference.get("optional"):
        return None
    where = f"{_TITLES[kind]} {pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigMissing(f"couldn't find key {reference['key']} in {where}")


def _data(pod: Object, kind: str, reference: Object, around: Surroundings) -> dict[str, str] | None:
    """The text data; None for an optional object that is not there."""
    found = around.fetch(kind, pod["metadata"]["namespace"], reference["name"])
    if found is not None:
        return text_data(kind, found)
    if reference.get("optional"):
        return None
    raise ConfigMissing(f'{kind.removesuffix("s")} "{reference["name"]}" not found')


def text_data(kind: str, obj: Object) -> dict[str, str]:
    """A Secret's values are decoded; what is no text keeps what is."""
    data = obj.get("data") or {}
    if kind == "configmaps":
        return dict(data)
    import base64

    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


# ---- the downward API ---------------------------------------------------------------------------


def field_value(pod: Object, path: str, around: Surroundings) -> str:
    """A field of the Pod itself; raises ConfigMissing for a path that there is not."""
    meta, spec = pod["metadata"], pod["spec"]
    if keyed := _KEYED.fullmatch(path):
        return str((meta.get(keyed[1]) or {}).get(keyed[2], ""))
    node_ip = host_ip(around.node)
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "metadata.labels": _as_lines(meta.get("labels")),
        "metadata.annotations": _as_lines(meta.get("annotations")),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": node_ip,
        "status.hostIPs": node_ip,
        "status.podIP": around.pod_ip,
        "status.podIPs": around.pod_ip,
    }
    if path not in values:
        raise ConfigMissing(f"unsupported fieldPath: {path}")
    return str(values[path])


def _as_lines(pairs: Mapping[str, str] | None) -> str:
    return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted((pairs or {}).items()))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(pod: Object, container: Object, reference: Object, node: Object) -> str:
    """ "limits.cpu" in units of the divisor, rounded up. Without a limit: what the node has. Raises
    ConfigMissing for a container that there is not."""
    if name := reference.get("containerName"):
        container = _container_named(pod, name)
    kind, _, resource = reference["resource"].partition(".")
    value = ((container.get("resources") or {}).get(kind) or {}).get(resource) or 0
    if kind == "limits" and resource in _OF_THE_NODE and not quantity.parse(value):
        value = ((node.get("status") or {}).get("allocatable") or {}).get(resource) or 0
    amount = quantity.parse(value) / (quantity.parse(reference.get("divisor") or 1) or 1)
    return str(-(-amount.numerator // amount.denominator))


def _container_named(pod: Object, name: str) -> Object:
    for kind in ("containers", "initContainers"):
        for container in pod["spec"].get(kind) or ():
            if container["name"] == name:
                return dict(container)
    raise ConfigMissing(f"container {name} not found")


def host_ip(node: Object) -> str:
    """ "" before the Node has been registered."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), "")
