"""What `kubectl get` shows: a kind's columns and an object's cells. Room: the API server; called by
its verbs when a client asks for a Table. Pure functions.

A column of priority 1 shows with `-o wide` alone. Source: Kubernetes'
`pkg/printers/internalversion/printers.go` and apimachinery `pkg/util/duration`, v1.32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from podium.api import quantity, selectors
from podium.api.scheme import Resource

Object = dict[str, Any]
Cell = str | int
Column = dict[str, Any]

NONE = "<none>"
UNKNOWN = "<unknown>"

_ROLE_PREFIX = "node-role.kubernetes.io/"


def columns(resource: Resource) -> list[Column]:
    """The `columnDefinitions` of a kind's Table."""
    return _COLUMNS.get(resource.key, _PLAIN_COLUMNS)


def row(resource: Resource, obj: Object, now: datetime) -> list[Cell]:
    """The cells of one object, in the order of `columns`; ages count to `now`."""
    return _ROWS.get(resource.key, _plain)(obj, now)


# ---- ages ---------------------------------------------------------------------------------------


def human_duration(seconds: float) -> str:
    """ "5s", "3m12s", "47h": the longer it is, the coarser."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"  # in the future by more than two clocks may differ
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago a timestamp of the API is."""
    if not timestamp:
        return UNKNOWN
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return UNKNOWN
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return human_duration((now - moment).total_seconds())


def _created(obj: Object, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _sections(obj: Object) -> tuple[Object, Object]:
    return obj.get("spec") or {}, obj.get("status") or {}


# ---- Pods ---------------------------------------------------------------------------------------


def _pod(pod: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(pod)
    view = PodView(pod)
    restarts = str(view.restarts)
    if view.restarts and view.last_restart:
        restarts += f" ({age(view.last_restart, now)} ago)"
    ips = status.get("podIPs") or ()
    return [
        _name(pod),
        f"{view.ready}/{view.total}",
        view.reason,
        restarts,
        _created(pod, now),
        (ips[0].get("ip") if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


class PodView:
    """STATUS, READY and RESTARTS of a Pod, worked out from its containers."""

    def __init__(self, pod: Object) -> None:
        self.spec, self.status = _sections(pod)
        self.sidecars = {
            c.get("name")
            for c in self.spec.get("initContainers") or ()
            if c.get("restartPolicy") == "Always"
        }
        self.total = len(self.spec.get("containers") or ()) + len(self.sidecars)
        self.ready = self.restarts = 0
        self.last_restart = ""
        self.reason: str = self.status.get("reason") or self.status.get("phase") or ""
        if (_condition(self.status, "PodScheduled") or {}).get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        is_initializing = self._init_containers()
        initialized = _condition(self.status, "Initialized") or {}
        if not is_initializing or initialized.get("status") == "True":
            self._containers()
        self._deletion(pod)

    def _init_containers(self) -> bool:
        """True while one of them has still to end."""
        for index, found in enumerate(self.status.get("initContainerStatuses") or ()):
            self._count_restarts(found)
            state = found.get("state") or {}
            ended = state.get("terminated")
            if ended is not None and ended.get("exitCode", 0) == 0:
                continue
            if found.get("name") in self.sidecars and found.get("started"):
                self.ready += bool(found.get("ready"))
                continue
            waiting = (state.get("waiting") or {}).get("reason", "")
            if ended is not None:
                self.reason = f"Init:{_ending(ended)}"
            elif waiting and waiting != "PodInitializing":
                self.reason = f"Init:{waiting}"
            else:
                self.reason = f"Init:{index}/{len(self.spec.get('initContainers') or ())}"
            return True
        return False

    def _containers(self) -> None:
        self.restarts, self.last_restart = 0, ""
        for found in self.status.get("initContainerStatuses") or ():
            if found.get("name") in self.sidecars:
                self._count_restarts(found)
        is_one_running = False
        for found in reversed(self.status.get("containerStatuses") or ()):
            self._count_restarts(found)
            state = found.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                self.reason = waiting["reason"]
            elif ended is not None:
                self.reason = _ending(ended)
            elif found.get("ready") and state.get("running") is not None:
                is_one_running = True
                self.ready += 1
        if self.reason == "Completed" and is_one_running:
            is_ready = (_condition(self.status, "Ready") or {}).get("status") == "True"
            self.reason = "Running" if is_ready else "NotReady"

    def _count_restarts(self, found: Object) -> None:
        self.restarts += found.get("restartCount", 0)
        last = (found.get("lastState") or {}).get("terminated") or {}
        self.last_restart = max(self.last_restart, last.get("finishedAt") or "")

    def _deletion(self, pod: Object) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            return
        if self.status.get("reason") == "NodeLost":
            self.reason = "Unknown"
        elif self.status.get("phase") not in ("Succeeded", "Failed"):
            self.reason = "Terminating"


def _ending(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition(status: Object, type_: str) -> Object | None:
    return next((c for c in status.get("conditions") or () if c.get("type") == type_), None)


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = [g.get("conditionType", "") for g in spec.get("readinessGates") or ()]
    if not gates:
        return NONE
    is_true = sum((_condition(status, g) or {}).get("status") == "True" for g in gates)
    return f"{is_true}/{len(gates)}"


# ---- workloads ----------------------------------------------------------------------------------


def _deployment(deployment: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(deployment)
    return [
        _name(deployment),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _created(deployment, now),
        *_template(spec),
    ]


def _replicaset(replicaset: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(replicaset)
    return [
        _name(replicaset),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _created(replicaset, now),
        *_template(spec),
    ]


def _template(spec: Object) -> tuple[str, str, str]:
    """CONTAINERS, IMAGES and SELECTOR."""
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    try:
        selector = str(selectors.from_dict(spec.get("selector"))) or NONE
    except selectors.SelectorError:
        selector = "<error>"
    return _joined(containers, "name"), _joined(containers, "image"), selector


def _joined(objects: Iterable[Object], name: str) -> str:
    return ",".join(o.get(name, "") for o in objects)


# ---- the rest -----------------------------------------------------------------------------------


def _node(node: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(node)
    ready = _condition(status, "Ready")
    words = [
        "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    ]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    info = status.get("nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
    return [
        _name(node),
        ",".join(words),
        _roles(node["metadata"].get("labels") or {}),
        _created(node, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _roles(labels: dict[str, str]) -> str:
    roles = {k.removeprefix(_ROLE_PREFIX) for k in labels if k.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return ",".join(sorted(filter(None, roles))) or NONE


def _namespace(namespace: Object, now: datetime) -> list[Cell]:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [_name(namespace), phase, _created(namespace, now)]


def _config_map(config_map: Object, now: datetime) -> list[Cell]:
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [_name(config_map), count, _created(config_map, now)]


def _secret(secret: Object, now: datetime) -> list[Cell]:
    count = len(secret.get("data") or ())
    return [_name(secret), secret.get("type", ""), count, _created(secret, now)]


def _service_account(account: Object, now: datetime) -> list[Cell]:
    return [_name(account), len(account.get("secrets") or ()), _created(account, now)]


_ACCESS_WORDS = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"),
                 ("ReadWriteOncePod", "RWOP"))  # fmt: skip


def _access_modes(modes: Iterable[str] | None) -> str:
    found = set(modes or ())
    return ",".join(short for mode, short in _ACCESS_WORDS if mode in found)


def _storage_class_of(obj: Object, spec: Object) -> str:
    beta = (obj["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
    return str(beta or spec.get("storageClassName") or "")


def _phase(obj: Object, status: Object) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")


def _persistent_volume(volume: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(volume)
    claim = spec.get("claimRef")
    return [
        _name(volume),
        str((spec.get("capacity") or {}).get("storage", "")),
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(volume, status),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class_of(volume, spec),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""),
        _created(volume, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _persistent_volume_claim(claim: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(claim)
    is_placed = bool(spec.get("volumeName"))
    return [
        _name(claim),
        _phase(claim, status),
        spec.get("volumeName", ""),
        str((status.get("capacity") or {}).get("storage", "0")) if is_placed else "",
        _access_modes(status.get("accessModes")) if is_placed else "",
        _storage_class_of(claim, spec),
        spec.get("volumeAttributesClassName") or "<unset>",
        _created(claim, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _storage_class(storage_class: Object, now: datetime) -> list[Cell]:
    annotations = storage_class["metadata"].get("annotations") or {}
    is_default = "true" in (
        annotations.get("storageclass.kubernetes.io/is-default-class"),
        annotations.get("storageclass.beta.kubernetes.io/is-default-class"),
    )
    return [
        f"{_name(storage_class)} (default)" if is_default else _name(storage_class),
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or "Immediate",
        "true" if storage_class.get("allowVolumeExpansion") else "false",
        _created(storage_class, now),
    ]


def _priority_class(found: Object, now: datetime) -> list[Cell]:
    return [
        _name(found),
        int(found.get("value") or 0),
        bool(found.get("globalDefault")),
        _created(found, now),
        found.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


def _runtime_class(found: Object, now: datetime) -> list[Cell]:
    return [_name(found), found.get("handler", ""), _created(found, now)]


def _lease(lease: Object, now: datetime) -> list[Cell]:
    holder = (lease.get("spec") or {}).get("holderIdentity") or ""
    return [_name(lease), holder, _created(lease, now)]


def _event(event: Object, now: datetime) -> list[Cell]:
    first = event.get("firstTimestamp") or event.get("eventTime")
    last, count = event.get("lastTimestamp") or first, event.get("count") or 1
    if series := event.get("series"):
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    about, source = event.get("involvedObject") or {}, event.get("source") or {}
    kind = about.get("kind", "").lower()
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return [
        age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        event.get("message", "").strip(),
        age(first, now),
        count,
        _name(event),
    ]


def _breakpoint(obj: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(obj)
    selector, stopped = spec.get("selector") or {}, status.get("stopped") or ()
    where = "/".join(filter(None, (selector.get("namespace"), selector.get("name"))))
    labels = str(selectors.from_dict(selector.get("labelSelector") or {}))
    selected = " ".join(filter(None, (selector.get("kind"), where, labels)))
    writes = stopped[0].get("plannedWrites") or [{}] if stopped else [{}]
    following = " ".join(writes[0][n] for n in ("verb", "resource", "name") if writes[0].get(n))
    return [
        _name(obj),
        spec.get("controller", ""),
        selected or "<all>",
        status.get("phase") or UNKNOWN,
        status.get("hits", 0),
        ",".join(stop.get("key", "") for stop in stopped) or NONE,
        _created(obj, now),
        following or NONE,
        spec.get("condition") or NONE,
    ]


def _fault(obj: Object, now: datetime) -> list[Cell]:
    spec, status = _sections(obj)
    is_active = status.get("phase") == "Active" and status.get("endTime")
    left = datetime.fromisoformat(status["endTime"]) - now if is_active else None
    return [
        _name(obj),
        spec.get("type", ""),
        spec.get("target") or NONE,
        status.get("phase") or "Pending",
        human_duration(left.total_seconds()) if left is not None else NONE,
        _created(obj, now),
        status.get("message") or NONE,
    ]


def _plain(obj: Object, now: datetime) -> list[Cell]:
    return [_name(obj), _created(obj, now)]


# ---- columns ------------------------------------------------------------------------------------


def _column(text: str) -> Column:
    """ "Name", "Count:integer" or "Node+" (`-o wide` alone)."""
    text, wide, _ = text.partition("+")
    name, _, type_ = text.partition(":")
    return {
        "name": name,
        "type": type_ or "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": 1 if wide else 0,
    }


def _columns_of(text: str) -> list[Column]:
    return [_column(part.replace("_", " ")) for part in text.split()]


_PLAIN_COLUMNS = _columns_of("Name Age")

_COLUMNS = {
    "pods": _columns_of(
        "Name Ready Status Restarts Age IP+ Node+ Nominated_Node+ Readiness_Gates+"
    ),
    "deployments.apps": _columns_of(
        "Name Ready Up-to-date:integer Available:integer Age Containers+ Images+ Selector+"
    ),
    "replicasets.apps": _columns_of(
        "Name Desired:integer Current:integer Ready:integer Age Containers+ Images+ Selector+"
    ),
    "nodes.metrics.k8s.io": _columns_of("Name CPU Memory Window"),
    "pods.metrics.k8s.io": _columns_of("Name CPU Memory Window"),
    "nodes": _columns_of(
        "Name Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ "
        "Container-Runtime+"
    ),
    "namespaces": _columns_of("Name Status Age"),
    "configmaps": _columns_of("Name Data:integer Age"),
    "secrets": _columns_of("Name Type Data:integer Age"),
    "serviceaccounts": _columns_of("Name Secrets:integer Age"),
    "leases.coordination.k8s.io": _columns_of("Name Holder Age"),
    "persistentvolumes": _columns_of(
        "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass "
        "Reason Age VolumeMode+"
    ),
    "persistentvolumeclaims": _columns_of(
        "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age "
        "VolumeMode+"
    ),
    "priorityclasses.scheduling.k8s.io": _columns_of(
        "Name Value:integer Global-Default:boolean Age PreemptionPolicy"
    ),
    "runtimeclasses.node.k8s.io": _columns_of("Name Handler Age"),
    "storageclasses.storage.k8s.io": _columns_of(
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age"
    ),
    "breakpoints.debug.podium.dev": _columns_of(
        "Name Controller Selector Phase Hits:integer Stopped_At Age Next_Write+ Condition+"
    ),
    "faults.debug.podium.dev": _columns_of("Name Type Target Phase Ends_In Age Message+"),
    "events": _columns_of(
        "Last_Seen Type Reason Object Subobject+ Source+ Message First_Seen+ Count:integer+ Name+"
    ),
}


def _metrics(obj: Object, _now: datetime) -> list[Cell]:
    """Of a node, or of a Pod's containers together."""
    usages = [obj["usage"]] if "usage" in obj else [c["usage"] for c in obj["containers"]]
    cpu = sum(quantity.parse(usage["cpu"]) for usage in usages)
    memory = sum(quantity.memory_bytes(usage["memory"]) for usage in usages)
    return [_name(obj), f"{int(cpu * 10**9)}n", f"{memory // 1024}Ki", obj["window"]]


_ROWS: dict[str, Callable[[Object, datetime], list[Cell]]] = {
    "nodes.metrics.k8s.io": _metrics,
    "pods.metrics.k8s.io": _metrics,
    "pods": _pod,
    "deployments.apps": _deployment,
    "replicasets.apps": _replicaset,
    "nodes": _node,
    "namespaces": _namespace,
    "configmaps": _config_map,
    "secrets": _secret,
    "serviceaccounts": _service_account,
    "leases.coordination.k8s.io": _lease,
    "persistentvolumes": _persistent_volume,
    "persistentvolumeclaims": _persistent_volume_claim,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "runtimeclasses.node.k8s.io": _runtime_class,
    "storageclasses.storage.k8s.io": _storage_class,
    "breakpoints.debug.podium.dev": _breakpoint,
    "faults.debug.podium.dev": _fault,
    "events": _event,
}
