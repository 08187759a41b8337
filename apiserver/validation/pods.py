"""Rules for Pods and for templates of Pods. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from apiserver.validation import metadata, resize
from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    in_range,
    invalid,
    is_same,
    not_supported,
    required,
)
from apiserver.validation.container_life import container_life
from apiserver.validation.containers import container_list, host_ports, image
from apiserver.validation.host_namespaces import host_namespaces
from apiserver.validation.mirror_pods import mirror_pod, mirror_pod_update
from apiserver.validation.pod_names import pod_names
from apiserver.validation.security import apparmor_agrees, apparmor_annotations, pod_security
from apiserver.validation.volumes import volume_list
from podium.api import names, resource_annotations
from podium.api.status import Cause

Object = dict[str, Any]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MUTABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(pod: Object) -> list[Cause]:
    spec = pod.get("spec") or {}
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    causes = apparmor_annotations(annotations, spec, "metadata.annotations")
    causes += pod_spec(spec, "spec")
    causes += apparmor_agrees(annotations, spec, "spec")
    causes += mirror_pod(pod)
    if spec.get("ephemeralContainers"):
        causes.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return causes + _annotations(pod.get("metadata") or {}, spec, "metadata")


def template(found: Object, path: str) -> list[Cause]:
    """A PodTemplateSpec."""
    meta = found.get("metadata") or {}
    causes = metadata.label_map(meta.get("labels"), f"{path}.labels")
    causes += metadata.annotation_map(meta.get("annotations"), f"{path}.annotations")
    spec = found.get("spec") or {}
    annotations = meta.get("annotations") or {}
    causes += apparmor_annotations(annotations, spec, f"{path}.annotations")
    causes += pod_spec(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        causes.append(forbidden(f"{path}.spec.ephemeralContainers", why))
    return causes + _annotations(meta, spec, f"{path}.metadata")


def _annotations(meta: Object, spec: Object, path: str) -> list[Cause]:
    """Those in Podium's own domain that ask for resources."""
    found = meta.get("annotations") or {}
    kinds = ("initContainers", "containers")
    containers = {c.get("name", "") for kind in kinds for c in spec.get(kind) or ()}
    return [
        invalid(f"{path}.annotations[{key}]", value, why)
        for key, value, why in resource_annotations.problems(found, containers)
    ]


def pod_spec(spec: Object, path: str) -> list[Cause]:
    volumes = spec.get("volumes") or []
    causes = volume_list(volumes, f"{path}.volumes")
    causes += _containers(spec, path, {v.get("name", ""): v for v in volumes})
    causes += _policies(spec, path)
    causes += metadata.label_map(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += resize.policies(spec, path)
    causes += pod_security(spec, path)
    causes += host_namespaces(spec, path)
    causes += pod_names(spec, path)
    for name, rule in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("hostname", names.dns_label),
        ("subdomain", names.dns_label),
        ("priorityClassName", names.dns_subdomain),
    ):
        if spec.get(name):
            causes += each_invalid(f"{path}.{name}", spec[name], rule(spec[name]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        causes += in_range(f"{path}.activeDeadlineSeconds", deadline, 1, 2**31 - 1)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        name = gate.get("conditionType", "")
        at = f"{path}.readinessGates[{index}].conditionType"
        causes += each_invalid(at, name, names.label_key(name))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        causes += _toleration(toleration, f"{path}.tolerations[{index}]")
    return causes


def _containers(spec: Object, path: str, volumes: Mapping[str, Object]) -> list[Cause]:
    taken: set[str] = set()
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    placed: list[tuple[str, Object]] = []
    for kind in ("containers", "initContainers"):
        found = spec.get(kind) or []
        has_host_users = spec.get("hostUsers") is not False
        causes += container_list(
            found, f"{path}.{kind}", volumes, taken, has_host_users=has_host_users
        )
        if kind == "containers":
            placed += [(f"{path}.{kind}[{i}]", container) for i, container in enumerate(found)]
        grace_s = spec.get("terminationGracePeriodSeconds")
        for index, container in enumerate(found):
            causes += container_life(container, kind, f"{path}.{kind}[{index}]", grace_s)
    return causes + host_ports(placed, bool(spec.get("hostNetwork")))


def _policies(spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    restart = spec.get("restartPolicy", "")
    if not restart:
        causes.append(required(f"{path}.restartPolicy"))
    elif restart not in _RESTART_POLICIES:
        causes.append(not_supported(f"{path}.restartPolicy", restart, _RESTART_POLICIES))
    dns = spec.get("dnsPolicy", "")
    if not dns:
        causes.append(required(f"{path}.dnsPolicy"))
    elif dns not in _DNS_POLICIES:
        causes.append(not_supported(f"{path}.dnsPolicy", dns, _DNS_POLICIES))
    if dns == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        causes.append(required(f"{path}.dnsConfig.nameservers", why))
    return causes


def _toleration(toleration: Object, at: str) -> list[Cause]:
    causes: list[Cause] = []
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    if key:
        causes += each_invalid(f"{at}.key", key, names.label_key(key))
    elif operator != "Exists":
        meaning = 'which means "match all values and all keys"'
        why = f"operator must be Exists when `key` is empty, {meaning}"
        causes.append(invalid(f"{at}.operator", operator, why))
    effect = toleration.get("effect", "")
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(invalid(f"{at}.effect", effect, why))
    value = toleration.get("value", "")
    match operator:
        case "Equal" | "":
            causes += each_invalid(f"{at}.operator", value, names.label_value(value))
        case "Exists":
            if value:
                why = "value must be empty when `operator` is 'Exists'"
                causes.append(invalid(f"{at}.operator", value, why))
        case _:
            causes.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in _EFFECTS:
        causes.append(not_supported(f"{at}.effect", effect, _EFFECTS))
    return causes


# ---- updates ------------------------------------------------------------------------------------


def validate_pod_update(new: Object, old: Object) -> list[Cause]:
    """A Pod's spec is what was started: little of it may change."""
    spec, was = new.get("spec") or {}, old.get("spec") or {}
    causes = mirror_pod_update(new, old)
    for kind, word in (("containers", "containers"), ("initContainers", "init containers")):
        if len(spec.get(kind) or ()) != len(was.get(kind) or ()):
            why = f"pod updates may not add or remove {word}"
            causes.append(forbidden(f"spec.{kind}", why))
    if causes:
        return causes
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            causes += image(container, f"spec.{kind}[{index}]")
    causes += _annotations_update(new["metadata"], old["metadata"])
    causes += _deadline_update(spec, was)
    causes += _tolerations_update(spec.get("tolerations") or [], was.get("tolerations") or [])
    had = [g.get("name") for g in was.get("schedulingGates") or ()]
    for gate in spec.get("schedulingGates") or ():
        if gate.get("name") not in had:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            causes.append(forbidden("spec.schedulingGates", why))
    if not causes:
        causes += _fixed_fields(_as_before(spec, was), was)
    return causes


def _annotations_update(new: Object, old: Object) -> list[Cause]:
    """What a container was started with stays what is said of it."""
    now, was = new.get("annotations") or {}, old.get("annotations") or {}
    return [
        forbidden(f"metadata.annotations[{key}]", "may not be changed after the pod was created")
        for key in sorted({*now, *was})
        if now.get(key) != was.get(key) and resource_annotations.asks_for_resources(key)
    ]


def _deadline_update(spec: Object, was: Object) -> list[Cause]:
    path = "spec.activeDeadlineSeconds"
    new, old = spec.get("activeDeadlineSeconds"), was.get("activeDeadlineSeconds")
    if new is None:
        why = "must not update from a positive integer to nil value"
        return [] if old is None else [invalid(path, None, why)]
    causes = in_range(path, new, 1, 2**31 - 1)
    if old is not None and new > old:
        causes.append(invalid(path, new, "must be less than or equal to previous value"))
    return causes


def _tolerations_update(new: list[Object], old: list[Object]) -> list[Cause]:
    def rest(toleration: Object) -> Object:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    kept = [rest(t) for t in new]
    if all(rest(t) in kept for t in old):
        return []
    why = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden("spec.tolerations", why)]


def _as_before(spec: Object, was: Object) -> Object:
    """The new spec with all that may change set back."""
    munged = dict(spec)
    for name in ("activeDeadlineSeconds", "tolerations"):
        munged.pop(name, None)
        if name in was:
            munged[name] = was[name]
    if was.get("schedulingGates"):
        for name in ("schedulingGates", "nodeSelector", "affinity"):
            munged.pop(name, None)
            if name in was:
                munged[name] = was[name]
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            munged[kind] = [
                {**c, "image": o.get("image")} for c, o in zip(spec[kind], was[kind], strict=True)
            ]
    grace, before = (
        spec.get("terminationGracePeriodSeconds"),
        was.get("terminationGracePeriodSeconds"),
    )
    if grace == 1 and before is not None and before < 0:
        munged["terminationGracePeriodSeconds"] = before
    return munged


def _fixed_fields(new: Object, old: Object) -> list[Cause]:
    if is_same(new, old):
        return []
    about = f"pod updates may not change fields other than {_MUTABLE}\n"
    return [forbidden("spec", about + "\n".join(_differences(new, old, "spec")))]


def _differences(new: Any, old: Any, path: str) -> list[str]:
    """What changed, a line for what was and a line for what would be, as deep as it lies."""
    if is_same(new, old):
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        names_of_both = sorted({*new, *old})
        return [
            line
            for name in names_of_both
            for line in _differences(new.get(name), old.get(name), f"{path}.{name}")
        ]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [
            line
            for index, pair in enumerate(zip(new, old, strict=True))
            for line in _differences(*pair, f"{path}[{index}]")
        ]
    return [f"- {path}: {_brief(old)}", f"+ {path}: {_brief(new)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"
