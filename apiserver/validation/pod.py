"""Pods and the PodSpec that every workload carries. Source: `pkg/apis/core/validation`, v1.32."""

from __future__ import annotations

import copy
import re
from typing import Any

from apiserver.validation.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_found,
    not_negative,
    required,
    unsupported,
)
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_ACCESS_BY_UPDATE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)
_TOLERATION_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESOURCES = re.compile(r"(cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+)")


def validate(pod: Object, causes: list[Cause]) -> None:
    validate_spec(pod.get("spec") or {}, "spec", causes)


def validate_spec(spec: Object, at: str, causes: list[Cause]) -> None:
    """A PodSpec at a field path ("spec", "spec.template.spec")."""
    volumes = _volumes(spec.get("volumes") or [], f"{at}.volumes", causes)
    if not spec.get("containers"):
        causes.append(required(f"{at}.containers"))
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            _container(container, f"{at}.{field}[{index}]", volumes, seen, field, causes)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        causes.append(unsupported(f"{at}.restartPolicy", spec.get("restartPolicy", ""), ("Always", "Never", "OnFailure")))
    not_negative(f"{at}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"), causes)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        causes.append(
            invalid(f"{at}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    for name, check in (("hostname", names.dns_label), ("subdomain", names.dns_label),
                        ("nodeName", names.dns_subdomain), ("serviceAccountName", names.dns_subdomain)):  # fmt: skip
        if spec.get(name):
            each(f"{at}.{name}", spec[name], check(spec[name]), causes)
    for key, value in (spec.get("nodeSelector") or {}).items():
        each(f"{at}.nodeSelector", key, names.label_key(key), causes)
        each(f"{at}.nodeSelector", value, names.label_value(value), causes)
    for index, toleration in enumerate(spec.get("tolerations") or []):
        _toleration(toleration, f"{at}.tolerations[{index}]", causes)
    if spec.get("dnsPolicy") not in ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"):
        causes.append(unsupported(f"{at}.dnsPolicy", spec.get("dnsPolicy", ""),
                                  ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")))  # fmt: skip
    _host_ports(spec, at, causes)


def _volumes(volumes: list[Object], at: str, causes: list[Cause]) -> set[str]:
    """The names of the volumes, for the mounts to refer to."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name, here = volume.get("name", ""), f"{at}[{index}]"
        if not name:
            causes.append(required(f"{here}.name"))
        else:
            each(f"{here}.name", name, names.dns_label(name), causes)
        if name in seen:
            causes.append(duplicate(f"{here}.name", name))
        seen.add(name)
        sources = [s for s in volume if s != "name"]
        causes.extend(
            forbidden(f"{here}.{s}", "may not specify more than 1 volume type") for s in sources[1:]
        )
        _volume_source(volume, here, causes)
    return seen


def _volume_source(volume: Object, at: str, causes: list[Cause]) -> None:
    host_path = volume.get("hostPath")
    if host_path is not None:
        if not host_path.get("path"):
            causes.append(required(f"{at}.hostPath.path"))
        elif ".." in host_path["path"].split("/"):
            causes.append(invalid(f"{at}.hostPath.path", host_path["path"], "must not contain '..'"))
        kinds = ("", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")
        if host_path.get("type", "") not in kinds:
            causes.append(unsupported(f"{at}.hostPath.type", host_path["type"], kinds[1:]))
    for field, name in (("configMap", "name"), ("secret", "secretName")):
        source = volume.get(field)
        if source is None:
            continue
        if not source.get(name):
            causes.append(required(f"{at}.{field}.{name}"))
        _mode(source.get("defaultMode"), f"{at}.{field}.defaultMode", causes)
        for index, item in enumerate(source.get("items") or []):
            here = f"{at}.{field}.items[{index}]"
            if not item.get("key"):
                causes.append(required(f"{here}.key"))
            _local_path(item.get("path", ""), f"{here}.path", causes)
            _mode(item.get("mode"), f"{here}.mode", causes)


def _mode(mode: Any, at: str, causes: list[Cause]) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        causes.append(invalid(at, mode, "must be a number between 0 and 0777 (octal), both inclusive"))


def _local_path(path: str, at: str, causes: list[Cause]) -> None:
    """A path that stays inside the directory that it is relative to."""
    if not path:
        causes.append(required(at))
    elif path.startswith("/"):
        causes.append(invalid(at, path, "must be a relative path"))
    elif ".." in path.split("/"):
        causes.append(invalid(at, path, "must not contain '..'"))


def _container(
    container: Object, at: str, volumes: set[str], seen: set[str], field: str, causes: list[Cause]
) -> None:
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{at}.name"))
    else:
        each(f"{at}.name", name, names.dns_label(name), causes)
        if name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
    image = container.get("image", "")
    if not image:
        causes.append(required(f"{at}.image"))
    elif image != image.strip():
        causes.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        causes.append(unsupported(f"{at}.imagePullPolicy", container.get("imagePullPolicy", ""), _PULL_POLICIES))
    _ports(container.get("ports") or [], f"{at}.ports", causes)
    _env(container, at, causes)
    _mounts(container.get("volumeMounts") or [], f"{at}.volumeMounts", volumes, causes)
    _resources(container.get("resources") or {}, f"{at}.resources", causes)
    is_sidecar = field == "initContainers" and container.get("restartPolicy") == "Always"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is None:
            continue
        if field == "initContainers" and not is_sidecar:
            causes.append(forbidden(f"{at}.{probe}", "may not be set for init containers without restartPolicy=Always"))
        else:
            _probe(container[probe], f"{at}.{probe}", probe, causes)
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            _handler(handler, f"{at}.lifecycle.{hook}", ("exec", "httpGet", "tcpSocket", "sleep"), causes)


def _port_number(value: Any, at: str, causes: list[Cause]) -> None:
    if not isinstance(value, int) or not 1 <= value <= 65535:
        causes.append(invalid(at, value, "must be between 1 and 65535, inclusive"))


def _ports(ports: list[Object], at: str, causes: list[Cause]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{at}[{index}]"
        name = port.get("name")
        if name:
            each(f"{here}.name", name, names.port_name(name), causes)
            if name in seen:
                causes.append(duplicate(f"{here}.name", name))
            seen.add(name)
        if not port.get("containerPort"):
            causes.append(required(f"{here}.containerPort"))
        else:
            _port_number(port["containerPort"], f"{here}.containerPort", causes)
        if port.get("hostPort"):
            _port_number(port["hostPort"], f"{here}.hostPort", causes)
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            causes.append(unsupported(f"{here}.protocol", port.get("protocol", ""), ("SCTP", "TCP", "UDP")))


def _host_ports(spec: Object, at: str, causes: list[Cause]) -> None:
    """Two containers of a Pod cannot have the same port of the host; with hostNetwork, hostPort is
    the container's own port."""
    seen: set[tuple[Any, ...]] = set()
    for i, container in enumerate(spec.get("containers") or []):
        for j, port in enumerate(container.get("ports") or []):
            here = f"{at}.containers[{i}].ports[{j}].hostPort"
            if not port.get("hostPort"):
                continue
            if spec.get("hostNetwork") and port["hostPort"] != port.get("containerPort"):
                causes.append(
                    invalid(f"{at}.containers[{i}].ports[{j}].containerPort", port.get("containerPort", 0),
                            "must match `hostPort` when `hostNetwork` is true")
                )  # fmt: skip
            key = (port["hostPort"], port.get("protocol"), port.get("hostIP", ""))
            if key in seen:
                causes.append(duplicate(here, port["hostPort"]))
            seen.add(key)


_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")


def _env(container: Object, at: str, causes: list[Cause]) -> None:
    for index, variable in enumerate(container.get("env") or []):
        here = f"{at}.env[{index}]"
        name, source = variable.get("name", ""), variable.get("valueFrom")
        if not name:
            causes.append(required(f"{here}.name"))
        else:
            each(f"{here}.name", name, names.env_name(name), causes)
        if source is None:
            continue
        if variable.get("value"):
            causes.append(invalid(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
        given = [s for s in _SOURCES if source.get(s) is not None]
        if not given:
            causes.append(
                invalid(f"{here}.valueFrom", "", "must specify one of: `fieldRef`, `resourceFieldRef`, "
                        "`configMapKeyRef` or `secretKeyRef`")
            )  # fmt: skip
        elif len(given) > 1:
            causes.append(invalid(f"{here}.valueFrom", "", "may not have more than one field specified at a time"))
        for reference in ("configMapKeyRef", "secretKeyRef"):
            if source.get(reference) is not None and not source[reference].get("key"):
                causes.append(required(f"{here}.valueFrom.{reference}.key"))
    for index, bulk in enumerate(container.get("envFrom") or []):
        here = f"{at}.envFrom[{index}]"
        given = [s for s in ("configMapRef", "secretRef") if bulk.get(s) is not None]
        if len(given) != 1:
            detail = "must specify one of: `configMapRef` or `secretRef`"
            causes.append(invalid(here, "", detail if not given else "may not have more than one field specified at a time"))


def _mounts(mounts: list[Object], at: str, volumes: set[str], causes: list[Cause]) -> None:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{at}[{index}]"
        if not mount.get("name"):
            causes.append(required(f"{here}.name"))
        elif mount["name"] not in volumes:
            causes.append(not_found(f"{here}.name", mount["name"]))
        path = mount.get("mountPath", "")
        if not path:
            causes.append(required(f"{here}.mountPath"))
        if path in seen:
            causes.append(invalid(f"{here}.mountPath", path, "must be unique"))
        seen.add(path)
        if mount.get("subPath"):
            _local_path(mount["subPath"], f"{here}.subPath", causes)
        if mount.get("subPath") and mount.get("subPathExpr"):
            causes.append(invalid(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"))


def _resources(resources: Object, at: str, causes: list[Cause]) -> None:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            here = f"{at}.{field}[{name}]"
            if not _RESOURCES.fullmatch(name) and "/" not in name:
                causes.append(invalid(here, name, "must be a standard resource type or fully qualified"))
            if quantity.parse(value) < 0:
                causes.append(invalid(here, value, "must be greater than or equal to 0"))
    for name, value in requests.items():
        if name in limits and quantity.parse(value) > quantity.parse(limits[name]):
            causes.append(
                invalid(f"{at}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")
            )


def _probe(probe: Object, at: str, kind: str, causes: list[Cause]) -> None:
    _handler(probe, at, _HANDLERS, causes)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        not_negative(f"{at}.{name}", probe.get(name), causes)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        causes.append(invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))


def _handler(handler: Object, at: str, kinds: tuple[str, ...], causes: list[Cause]) -> None:
    given = [k for k in kinds if handler.get(k) is not None]
    if not given:
        causes.append(required(at, "must specify a handler type"))
    causes.extend(forbidden(f"{at}.{k}", "may not specify more than 1 handler type") for k in given[1:])
    if "exec" in given and not handler["exec"].get("command"):
        causes.append(required(f"{at}.exec.command"))


def _toleration(toleration: Object, at: str, causes: list[Cause]) -> None:
    operator, key = toleration.get("operator") or "Equal", toleration.get("key", "")
    if key:
        each(f"{at}.key", key, names.label_key(key), causes)
    elif operator != "Exists":
        causes.append(
            invalid(f"{at}.operator", operator, "operator must be Exists when `key` is empty, which means "
                    "\"match all values and all keys\"")
        )  # fmt: skip
    if operator not in ("Equal", "Exists"):
        causes.append(unsupported(f"{at}.operator", operator, ("Equal", "Exists")))
    elif operator == "Exists" and toleration.get("value"):
        causes.append(invalid(f"{at}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'"))
    effect = toleration.get("effect")
    if effect and effect not in _TOLERATION_EFFECTS:
        causes.append(unsupported(f"{at}.effect", effect, _TOLERATION_EFFECTS))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        causes.append(invalid(f"{at}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"))


def validate_update(new: Object, old: Object, causes: list[Cause]) -> None:
    """A Pod's spec is fixed but for images, a shorter deadline and more tolerations."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    allowed = copy.deepcopy(before)
    for field in ("containers", "initContainers"):
        if len(allowed.get(field) or []) != len(after.get(field) or []):
            causes.append(forbidden(f"spec.{field}", "pod updates may not add or remove containers"))
            return
        for have, want in zip(allowed.get(field) or [], after.get(field) or [], strict=True):
            have["image"] = want.get("image", "")
    if "activeDeadlineSeconds" in after:
        allowed["activeDeadlineSeconds"] = after["activeDeadlineSeconds"]
    if all(t in (after.get("tolerations") or []) for t in before.get("tolerations") or []):
        allowed["tolerations"] = after.get("tolerations")
        if after.get("tolerations") is None:
            allowed.pop("tolerations")
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and after.get("terminationGracePeriodSeconds") == 1:
        allowed["terminationGracePeriodSeconds"] = 1
    if before.get("schedulingGates"):
        for name in ("schedulingGates", "nodeSelector", "affinity"):
            allowed[name] = after.get(name)
            if allowed[name] is None:
                allowed.pop(name)
    if allowed != after:
        causes.append(forbidden("spec", _ACCESS_BY_UPDATE))
