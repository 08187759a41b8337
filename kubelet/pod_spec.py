"""From a PodSpec to what the runtime is asked for: pure functions, no I/O.

Room kubelet, called by pod_sync.py. Sources: Kubernetes API reference (PodSpec, Container), kubelet
`pkg/kubelet/cm` for the QoS classes and the arithmetic of shares and quotas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kubelet.runtime.protocol import Resources
from podium.api import quantity

Object = dict[str, Any]

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT",
    "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
)  # fmt: skip
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_PIDS_LIMIT = 1024  # a Pod's processes: what a fork bomb stops at
QUOTA_PERIOD_US = 100_000
MIN_QUOTA_US = 1_000
SHARES_PER_CPU = 1024
MIN_SHARES = 2

_REFERENCE = re.compile(r"\$(\$|\(([^()]+)\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """ "$(NAME)" by its value, "$$" by "$"; a name that is not there stays as it is written."""

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return env.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


# ---- resources ----------------------------------------------------------------------------------


def _of(container: Object, kind: str, name: str) -> str | None:
    value = ((container.get("resources") or {}).get(kind) or {}).get(name)
    return None if value is None else str(value)


def container_resources(container: Object) -> Resources:
    """cgroup values of one container; a limit without a request counts as the request."""
    cpu_limit, memory_limit = _of(container, "limits", "cpu"), _of(container, "limits", "memory")
    cpu_request = _of(container, "requests", "cpu") or cpu_limit
    return Resources(
        cpu_shares=shares(quantity.cpu_millicores(cpu_request)) if cpu_request else MIN_SHARES,
        cpu_quota_us=quota_us(quantity.cpu_millicores(cpu_limit)) if cpu_limit else None,
        cpu_period_us=QUOTA_PERIOD_US,
        memory_bytes=quantity.memory_bytes(memory_limit) if memory_limit else None,
    )


def shares(millicores: int) -> int:
    return max(millicores * SHARES_PER_CPU // 1000, MIN_SHARES)


def quota_us(millicores: int) -> int | None:
    """Microseconds of each period; None for no limit."""
    return max(millicores * QUOTA_PERIOD_US // 1000, MIN_QUOTA_US) if millicores else None


def pod_resources(pod: Object) -> Resources:
    """cgroup values of the whole Pod: sums, and limits only if every container has one."""
    containers = pod["spec"]["containers"]
    requests = [
        quantity.cpu_millicores(_of(c, "requests", "cpu") or _of(c, "limits", "cpu") or 0)
        for c in containers
    ]
    cpu_limits = [_of(c, "limits", "cpu") for c in containers]
    memory_limits = [_of(c, "limits", "memory") for c in containers]
    has_init = bool(pod["spec"].get("initContainers"))
    cpu_ms = sum(quantity.cpu_millicores(v) for v in cpu_limits if v)
    memory = sum(quantity.memory_bytes(v) for v in memory_limits if v)
    return Resources(
        cpu_shares=shares(sum(requests)),
        cpu_quota_us=quota_us(cpu_ms) if all(cpu_limits) and not has_init else None,
        cpu_period_us=QUOTA_PERIOD_US,
        memory_bytes=memory if all(memory_limits) and memory and not has_init else None,
        pids=DEFAULT_PIDS_LIMIT,
    )


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort (Kubernetes docs, "Pod Quality of Service Classes")."""
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    said = [
        (kind, name)
        for c in containers
        for kind in ("limits", "requests")
        for name in ("cpu", "memory")
        if _of(c, kind, name)
    ]
    if not said:
        return "BestEffort"
    for c in containers:
        for name in ("cpu", "memory"):
            limit, request = _of(c, "limits", name), _of(c, "requests", name)
            if limit is None or quantity.parse(request or limit) != quantity.parse(limit):
                return "Burstable"
    return "Guaranteed"


def cgroup_parent(pod: Object) -> str:
    """ "kubepods/burstable/pod<uid>"; Guaranteed Pods stand directly below kubepods."""
    qos = qos_class(pod)
    middle = "" if qos == "Guaranteed" else f"{qos.lower()}/"
    return f"kubepods/{middle}pod{pod['metadata']['uid']}"


def oom_score_adj(pod: Object, container: Object, node_memory_bytes: int) -> int:
    """Who is killed first when the node is out of memory (kubelet `pkg/kubelet/qos/policy.go`)."""
    match qos_class(pod):
        case "Guaranteed":
            return -997
        case "BestEffort":
            return 1000
    request = quantity.memory_bytes(_of(container, "requests", "memory") or 0)
    return min(max(1000 - 1000 * request // max(node_memory_bytes, 1), 3), 999)


# ---- environment --------------------------------------------------------------------------------


class ConfigMissing(Exception):
    """A ConfigMap, Secret or key that a container needs is not there:
    CreateContainerConfigError."""


Lookup = Callable[[str, str], Mapping[str, str] | None]
"""(kind, name) → its text data, None when there is no such object. kind: configmaps or secrets."""


def environment(
    pod: Object, container: Object, pod_ip: str, node: Object, lookup: Lookup
) -> dict[str, str]:
    """What `env` and `envFrom` say, in order, with references expanded; raises ConfigMissing."""
    env: dict[str, str] = {}
    for bulk in container.get("envFrom") or ():
        env.update(_from_all(bulk, lookup))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source is None:
            env[variable["name"]] = expand(variable.get("value") or "", env)
            continue
        value = _value_from(source, pod, container, pod_ip=pod_ip, node=node, lookup=lookup)
        if value is not None:
            env[variable["name"]] = value
    return env


def _from_all(bulk: Object, lookup: Lookup) -> dict[str, str]:
    prefix = bulk.get("prefix") or ""
    for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
        reference = bulk.get(field)
        if reference is None:
            continue
        data = lookup(kind, reference["name"])
        if data is None:
            if reference.get("optional"):
                return {}
            raise ConfigMissing(f'{kind[:-1]} "{reference["name"]}" not found')
        return {prefix + key: value for key, value in data.items()}
    return {}


def _value_from(
    source: Object, pod: Object, container: Object, *, pod_ip: str, node: Object, lookup: Lookup
) -> str | None:
    for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if source.get(field) is not None:
            return _one_key(source[field], kind, pod, lookup)
    if source.get("fieldRef") is not None:
        return field_value(pod, source["fieldRef"]["fieldPath"], pod_ip, node)
    return resource_value(pod, container, source["resourceFieldRef"], node)


def _one_key(reference: Object, kind: str, pod: Object, lookup: Lookup) -> str | None:
    data = lookup(kind, reference["name"])
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    if data is None:
        raise ConfigMissing(f'{kind[:-1]} "{reference["name"]}" not found')
    namespace = pod["metadata"]["namespace"]
    title = "ConfigMap" if kind == "configmaps" else "Secret"
    raise ConfigMissing(
        f"couldn't find key {reference['key']} in {title} {namespace}/{reference['name']}"
    )


def field_value(pod: Object, path: str, pod_ip: str, node: Object) -> str:
    """The downward API's fieldRef; raises ConfigMissing for a path that there is not."""
    meta, spec = pod["metadata"], pod["spec"]
    match = re.fullmatch(r"metadata\.(labels|annotations)\['([^']*)'\]", path)
    if match:
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ip(node),
        "status.hostIPs": host_ip(node),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
    }
    if path in values:
        return str(values[path])
    for field in ("labels", "annotations"):
        if path == f"metadata.{field}":
            return "\n".join(f'{k}="{v}"' for k, v in sorted((meta.get(field) or {}).items()))
    raise ConfigMissing(f"unsupported fieldPath: {path}")


def resource_value(pod: Object, container: Object, reference: Object, node: Object) -> str:
    """The downward API's resourceFieldRef: "limits.cpu" in units of the divisor, rounded up."""
    name = reference.get("containerName")
    if name:
        container = next((c for c in pod["spec"]["containers"] if c["name"] == name), container)
    kind, _, resource = reference["resource"].partition(".")
    value = _of(container, kind, resource)
    if value is None and kind == "limits":
        value = ((node.get("status") or {}).get("allocatable") or {}).get(resource)
    divisor = quantity.parse(reference.get("divisor") or 1) or 1
    amount = quantity.parse(value or 0) / divisor
    return str(-(-amount.numerator // amount.denominator))


def host_ip(node: Object) -> str:
    addresses = (node.get("status") or {}).get("addresses") or []
    return next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), "")


# ---- security -----------------------------------------------------------------------------------


def capabilities(container: Object, every: tuple[str, ...] | list[str]) -> list[str]:
    """Kubernetes' default set with the container's `add` and `drop`."""
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        return list(every)
    wanted = set(DEFAULT_CAPABILITIES)
    changes = context.get("capabilities") or {}
    for name in changes.get("drop") or ():
        wanted = set() if name == "ALL" else wanted - {_capability(name)}
    for name in changes.get("add") or ():
        wanted |= set(every) if name == "ALL" else {_capability(name)}
    return [name for name in every if name in wanted]


def _capability(name: str) -> str:
    return name if name.startswith("CAP_") else f"CAP_{name}"


def user_of(pod: Object, container: Object, image_user: str) -> tuple[int | str, int | str | None]:
    """(user, group) by number or by name, as securityContext and then the image say; a group of
    None is the user's own."""
    pod_context = pod["spec"].get("securityContext") or {}
    context = container.get("securityContext") or {}
    user = context.get("runAsUser", pod_context.get("runAsUser"))
    group = context.get("runAsGroup", pod_context.get("runAsGroup"))
    if user is not None:
        return user, 0 if group is None else group
    name, _, image_group = image_user.partition(":")
    found_user: int | str = int(name) if name.isdigit() else name or 0
    if group is None and image_group:
        group = int(image_group) if image_group.isdigit() else image_group
    return found_user, group


def must_not_be_root(pod: Object, container: Object) -> bool:
    pod_context = pod["spec"].get("securityContext") or {}
    context = container.get("securityContext") or {}
    return bool(context.get("runAsNonRoot", pod_context.get("runAsNonRoot", False)))


# ---- what this version does not run yet ---------------------------------------------------------

_RUNNABLE_VOLUMES = ("emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected")


def refusals(pod: Object) -> list[str]:
    """Fields that change what a Pod is and that this kubelet cannot do: such a Pod is not run."""
    spec = pod["spec"]
    found = []
    if spec.get("hostUsers") is False:
        found.append("spec.hostUsers: user namespaces are not supported yet")
    if spec.get("runtimeClassName"):
        found.append("spec.runtimeClassName: there is only one runtime")
    if spec.get("hostPID"):
        found.append("spec.hostPID: is not supported yet")
    if spec.get("shareProcessNamespace"):
        found.append("spec.shareProcessNamespace: is not supported yet")
    if spec.get("resourceClaims"):
        found.append("spec.resourceClaims: there are no device drivers")
    if ((spec.get("os") or {}).get("name") or "linux") != "linux":
        found.append("spec.os: this node runs linux")
    for index, volume in enumerate(spec.get("volumes") or ()):
        kinds = [k for k in volume if k != "name" and k not in _RUNNABLE_VOLUMES]
        found += [f"spec.volumes[{index}].{kind}: is not supported yet" for kind in kinds]
    for index, container in enumerate(spec.get("initContainers") or ()):
        if container.get("restartPolicy"):
            found.append(
                f"spec.initContainers[{index}].restartPolicy: sidecars are not supported yet"
            )
    for context in (c.get("securityContext") or {} for c in [*spec["containers"], spec]):
        profile = (context.get("seccompProfile") or {}).get("type", "Unconfined")
        if profile == "Localhost":
            found.append("securityContext.seccompProfile: profiles are not supported yet")
        if context.get("sysctls"):
            found.append("securityContext.sysctls: are not supported yet")
    return found


def warnings(pod: Object) -> list[str]:
    """Fields that are not acted on yet and without which the Pod still runs: told in an event."""
    found = []
    for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]:
        for field in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(field):
                found.append(
                    f"container {container['name']}: {field} is not acted on in this version"
                )
    return found
