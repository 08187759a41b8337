"""What Kubernetes fills in when a writer leaves it out. Source: `pkg/apis/*/v1/defaults.go`, v1.32.

Runs in the API server on each write, after decoding and before validation. Applying it twice
changes nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from podium.api.debugging import BREAKPOINTS, DEFAULT_STOP_S
from podium.api.faults import DEFAULT_RATE, DEFAULT_S, FAULTS
from podium.api.scheme import Resource

Object = dict[str, Any]


def apply_defaults(obj: Object, resource: Resource) -> None:
    """Fill in the defaults of `obj`'s kind, in place."""
    default = _BY_KEY.get(resource.key)
    if default is not None:
        default(obj)


def _put(obj: Object, **values: Any) -> None:
    for name, value in values.items():
        if obj.get(name) in (None, ""):
            obj[name] = value


def _spec(obj: Object) -> Object:
    spec = obj.setdefault("spec", {})
    return spec if isinstance(spec, dict) else {}


# ---- Pods ---------------------------------------------------------------------------------------


def _pod(pod: Object) -> None:
    spec = _spec(pod)
    default_pod_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for name in ("initContainers", "containers"):
        for container in spec.get(name) or ():
            _requests(container["resources"])
    _put(pod.setdefault("status", {}), phase="Pending")


def default_pod_spec(spec: Object) -> None:
    """Also the spec of a template."""
    _put(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    spec.setdefault("securityContext", {})
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(name) or ():
            _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _pull_policy(image: str) -> str:
    tag = image.rsplit("@", 1)[0].rsplit("/", 1)[-1].partition(":")[2]
    is_latest = "@" not in image and tag in ("", "latest")
    return "Always" if is_latest and image != "host" else "IfNotPresent"


def _container(container: Object, host_network: bool) -> None:
    image = container.get("image", "")
    _put(
        container,
        imagePullPolicy=_pull_policy(image),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        _put(port, protocol="TCP")
        if host_network and not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort", 0)
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _put(reference, apiVersion="v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            _probe(container[probe])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet"):
            _put(hook["httpGet"], path="/", scheme="HTTP")


def _requests(resources: Object) -> None:
    """What a Pod (not a template) does not ask for, it asks for up to its limit."""
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _probe(probe: Object) -> None:
    for name, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(name):
            probe[name] = value
    if probe.get("httpGet"):
        _put(probe["httpGet"], path="/", scheme="HTTP")
    if probe.get("grpc"):
        probe["grpc"].setdefault("service", "")


_VOLUME_MODE = 0o644


def _volume(volume: Object) -> None:
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}
    for name in ("configMap", "secret", "downwardAPI", "projected"):
        if volume.get(name) is not None:
            volume[name].setdefault("defaultMode", _VOLUME_MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        if item.get("fieldRef"):
            _put(item["fieldRef"], apiVersion="v1")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken"):
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    if volume.get("image") is not None:
        _put(volume["image"], pullPolicy=_pull_policy(volume["image"].get("reference", "")))
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
    if isinstance(template.get("spec"), dict):
        _put(template["spec"], volumeMode="Filesystem")


# ---- storage ------------------------------------------------------------------------------------


def _persistent_volume(volume: Object) -> None:
    spec = _spec(volume)
    _put(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
    _put(volume.setdefault("status", {}), phase="Pending")


def _persistent_volume_claim(claim: Object) -> None:
    _put(_spec(claim), volumeMode="Filesystem")
    _put(claim.setdefault("status", {}), phase="Pending")


def _storage_class(storage_class: Object) -> None:
    _put(storage_class, reclaimPolicy="Delete", volumeBindingMode="Immediate")


# ---- workloads ----------------------------------------------------------------------------------


def _template(spec: Object) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    default_pod_spec(template.setdefault("spec", {}))


def _deployment(deployment: Object) -> None:
    spec = _spec(deployment)
    for name, value in (
        ("replicas", 1),
        ("revisionHistoryLimit", 10),
        ("progressDeadlineSeconds", 600),
    ):
        if spec.get(name) is None:
            spec[name] = value
    strategy = spec.setdefault("strategy", {})
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        for name in ("maxUnavailable", "maxSurge"):
            if rolling.get(name) is None:
                rolling[name] = "25%"
    _template(spec)


def _replicaset(replicaset: Object) -> None:
    spec = _spec(replicaset)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    _template(spec)


# ---- the rest -----------------------------------------------------------------------------------


def _namespace(namespace: Object) -> None:
    labels = namespace["metadata"].setdefault("labels", {})
    if namespace["metadata"].get("name"):
        labels["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]
    _spec(namespace).setdefault("finalizers", ["kubernetes"])
    _put(namespace.setdefault("status", {}), phase="Active")


def _secret(secret: Object) -> None:
    _put(secret, type="Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        for name, value in plain.items():
            data[name] = base64.b64encode(str(value).encode()).decode()


def _node(node: Object) -> None:
    status = node.get("status")
    if status and status.get("capacity") and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def _event(event: Object) -> None:
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(name, None)
    event.setdefault("source", {})
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")


def _priority_class(found: Object) -> None:
    _put(found, preemptionPolicy="PreemptLowerPriority")


def _breakpoint(found: Object) -> None:
    _put(found.setdefault("spec", {}), maxStopSeconds=DEFAULT_STOP_S)


def _fault(found: Object) -> None:
    spec = found.setdefault("spec", {})
    _put(spec, seconds=DEFAULT_S)
    if spec.get("type") == "SlowDisk" and not spec.get("operationsPerSecond"):
        _put(spec, bytesPerSecond=DEFAULT_RATE)


_BY_KEY: dict[str, Callable[[Object], None]] = {
    "pods": _pod,
    "deployments.apps": _deployment,
    "replicasets.apps": _replicaset,
    "namespaces": _namespace,
    "secrets": _secret,
    "events": _event,
    "nodes": _node,
    "persistentvolumes": _persistent_volume,
    "persistentvolumeclaims": _persistent_volume_claim,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "storageclasses.storage.k8s.io": _storage_class,
    BREAKPOINTS: _breakpoint,
    FAULTS: _fault,
}
