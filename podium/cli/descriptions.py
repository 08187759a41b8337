"""Room podium/cli: the texts of `describe`, as pure functions from objects to lines.

A description is a list of (depth, label, value) lines, then laid out in two columns. The words are
Kubernetes' own, so that what tutorials point at is found here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from podium.api import quantity
from podium.api.meta import controller_of, parse_time
from podium.api.scheme import Resource
from podium.api.yaml_text import to_yaml
from podium.cli.output import columns
from podium.cli.scheduling import DECISION, decision_of, scheduling

Object = dict[str, Any]
Lines = Iterator[str]
INDENT = "  "
LABEL_WIDTH = 18
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def describe(
    resource: Resource,
    obj: Object,
    related: list[Object],
    events: list[Object] | None,
    start: Sequence[str] = (),
) -> str:
    """The whole description of an object; `events` None leaves that section out. `start`: the lines
    that tell how it was started."""
    special: dict[str, Callable[[Object, list[Object]], Lines]] = {
        "pods": _pod,
        "deployments.apps": _deployment,
        "replicasets.apps": _replicaset,
        "nodes": _node,
    }
    body = special.get(resource.key, _anything)
    lines = [*_head(obj), *body(obj, related), *start]
    if events is not None:
        lines += _events(events)
    return "\n".join(lines)


def age(time: str | None, now: datetime | None = None) -> str:
    """How long ago, as Kubernetes shortens it: 12s, 4m10s, 3h5m, 2d4h, 80d; "<unknown>"."""
    if not time:
        return "<unknown>"
    seconds = max(0, int(((now or datetime.now(UTC)) - parse_time(time)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


# --- laying out ---------------------------------------------------------------------------------


def _line(label: str, value: Any, depth: int = 0) -> str:
    head = INDENT * depth + f"{label}: "
    return f"{head.ljust(LABEL_WIDTH + 2 * depth)}{_shown(value)}".rstrip()


def _block(values: Object, depth: int = 1) -> Lines:
    """Names and values, the values below each other."""
    width = max((len(name) for name in values), default=0) + 3
    for name, value in values.items():
        yield f"{INDENT * depth}{(name + ':').ljust(width)}{_shown(value)}".rstrip()


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "<none>"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value)


def _many(label: str, values: list[str], depth: int = 0) -> Lines:
    """A label with one value a line, the first beside it."""
    yield _line(label, values[0] if values else None, depth)
    pad = " " * (LABEL_WIDTH + 2 * depth)
    for value in values[1:]:
        yield f"{pad}{value}"


def _map(label: str, values: dict[str, Any] | None, sign: str, depth: int = 0) -> Lines:
    yield from _many(label, [f"{k}{sign}{v}" for k, v in sorted((values or {}).items())], depth)


def _table(rows: list[list[str]], depth: int = 1) -> Lines:
    """A small table with a rule under its head."""
    ruled = [rows[0], ["-" * len(cell) for cell in rows[0]], *rows[1:]]
    for line in columns(ruled):
        yield INDENT * depth + line


# --- what every object has ----------------------------------------------------------------------


def _head(obj: Object) -> Lines:
    metadata = obj["metadata"]
    yield _line("Name", metadata["name"])
    if "namespace" in metadata:
        yield _line("Namespace", metadata["namespace"])
    yield from _map("Labels", metadata.get("labels"), "=")
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in (LAST_APPLIED, DECISION)
    }
    yield from _map("Annotations", annotations, ": ")
    yield _line("Created", f"{metadata['creationTimestamp']} ({age(metadata['creationTimestamp'])} "
                "ago)")  # fmt: skip
    if metadata.get("deletionTimestamp"):
        yield _line("Status", f"Terminating (since {age(metadata['deletionTimestamp'])})")
        yield _line("Finalizers", metadata.get("finalizers"))
    owner = controller_of(obj)
    if owner:
        yield _line("Controlled By", f"{owner['kind']}/{owner['name']}")


def _events(events: list[Object]) -> Lines:
    if not events:
        yield _line("Events", None)
        return
    rows = [["Type", "Reason", "Age", "From", "Message"]]
    for event in sorted(events, key=_last_seen):
        source = event.get("source") or {}
        rows.append(
            [
                str(event.get("type") or "Normal"),
                str(event.get("reason") or ""),
                _event_age(event),
                str(source.get("component") or event.get("reportingComponent") or ""),
                str(event.get("message") or "").strip().replace("\n", " "),
            ]
        )
    yield "Events:"
    yield from _table(rows)


def _last_seen(event: Object) -> str:
    return str(
        event.get("lastTimestamp")
        or (event.get("series") or {}).get("lastObservedTime")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )


def _event_age(event: Object) -> str:
    last, count = age(_last_seen(event)), event.get("count") or 1
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{last} (x{count} over {age(first)})" if count > 1 and first else last


def _conditions(obj: Object, *, wide: bool) -> Lines:
    found = (obj.get("status") or {}).get("conditions") or []
    if not found:
        return
    yield "Conditions:"
    rows = [["Type", "Status", *(["LastTransition", "Reason", "Message"] if wide else ["Reason"])]]
    for one in found:
        rest = [str(one.get("reason") or "")]
        if wide:
            rest = [age(one.get("lastTransitionTime")), *rest, str(one.get("message") or "")]
        rows.append([one["type"], one["status"], *rest])
    yield from _table(rows)


def _anything(obj: Object, _: list[Object]) -> Lines:
    """Any kind without a description of its own: the rest of the object, as YAML."""
    head = ("apiVersion", "kind", "metadata")
    rest = {key: value for key, value in obj.items() if key not in head}
    if obj["kind"] == "Secret":
        rest["data"] = {k: f"<{len(v) * 3 // 4} bytes>" for k, v in (obj.get("data") or {}).items()}
    if rest:
        yield from to_yaml(rest).splitlines()


# --- pods ---------------------------------------------------------------------------------------


def _pod(pod: Object, _: list[Object]) -> Lines:
    spec, status = pod["spec"], pod.get("status") or {}
    yield _line("Service Account", spec.get("serviceAccountName"))
    yield _line("Node", _node_of(spec, status))
    yield _line("Start Time", status.get("startTime"))
    yield _line("Status", status.get("phase"))
    if status.get("reason"):
        yield _line("Reason", status["reason"])
    if status.get("message"):
        yield _line("Message", status["message"])
    yield _line("IP", status.get("podIP"))
    statuses = {
        one["name"]: one
        for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for one in status.get(key) or ()
    }
    if spec.get("initContainers"):
        yield from _containers("Init Containers", spec["initContainers"], statuses)
    yield from _containers("Containers", spec["containers"], statuses)
    if spec.get("ephemeralContainers"):
        yield from _containers("Ephemeral Containers", spec["ephemeralContainers"], statuses)
    yield from _gates(spec.get("readinessGates") or (), status.get("conditions") or ())
    yield from _conditions(pod, wide=False)
    yield from _volumes(spec.get("volumes") or [])
    yield _line("QoS Class", status.get("qosClass"))
    yield from _map("Node-Selectors", spec.get("nodeSelector"), "=")
    yield from _many("Tolerations", [_toleration(one) for one in spec.get("tolerations") or ()])
    decision = decision_of(pod)
    if decision is not None:
        yield "Scheduling:"
        yield from (f"{INDENT}{line}" for line in scheduling(decision))


def _gates(gates: Sequence[Object], conditions: Sequence[Object]) -> Lines:
    if not gates:
        return
    found = {condition["type"]: condition["status"] for condition in conditions}
    names = [gate["conditionType"] for gate in gates]
    yield "Readiness Gates:"
    yield from _table([["Type", "Status"], *([n, found.get(n, "<none>")] for n in names)])


def _node_of(spec: Object, status: Object) -> str | None:
    if not spec.get("nodeName"):
        return None
    return f"{spec['nodeName']}/{status['hostIP']}" if status.get("hostIP") else spec["nodeName"]


def _containers(title: str, containers: list[Object], statuses: dict[str, Object]) -> Lines:
    yield f"{title}:"
    for container in containers:
        yield f"{INDENT}{container['name']}:"
        yield from _container(container, statuses.get(container["name"]) or {})


def _container(container: Object, status: Object) -> Lines:
    yield _line("Container ID", status.get("containerID"), 2)
    yield _line("Image", container.get("image"), 2)
    yield _line("Image ID", status.get("imageID"), 2)
    ports = [f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports", ())]
    yield _line("Ports", ", ".join(ports), 2)
    for label, key in (("Command", "command"), ("Args", "args")):
        if container.get(key):
            yield f"{INDENT * 2}{label}:"
            yield from (INDENT * 3 + line for word in container[key] for line in word.splitlines())
    yield from _container_state("State", status.get("state"))
    if status.get("lastState"):
        yield from _container_state("Last State", status["lastState"])
    yield _line("Ready", bool(status.get("ready")), 2)
    yield _line("Restart Count", str(status.get("restartCount", 0)), 2)
    resources = container.get("resources") or {}
    for label in ("limits", "requests"):
        if resources.get(label):
            yield from _map(label.capitalize(), resources[label], ": ", 2)
    for label in ("Liveness", "Readiness", "Startup"):
        if probe := container.get(f"{label.lower()}Probe"):
            yield _line(label, _probe(probe), 2)
    yield from _many("Environment", [_env(one) for one in container.get("env") or ()], 2)
    mounts = [
        f"{m['mountPath']} from {m['name']} ({'ro' if m.get('readOnly') else 'rw'})"
        for m in container.get("volumeMounts") or ()
    ]
    yield from _many("Mounts", mounts, 2)


def _probe(probe: Object) -> str:
    """As kubectl says it: `tcp-socket :80 delay=0s timeout=1s period=10s #success=1 #failure=3`."""
    if get := probe.get("httpGet"):
        scheme, host = get.get("scheme", "HTTP").lower(), get.get("host", "")
        what = f"http-get {scheme}://{host}:{get['port']}{get.get('path', '/')}"
    elif tcp := probe.get("tcpSocket"):
        what = f"tcp-socket {tcp.get('host', '')}:{tcp['port']}"
    elif grpc := probe.get("grpc"):
        what = f"grpc <pod>:{grpc['port']} {grpc.get('service') or ''}".rstrip()
    else:
        what = f"exec [{' '.join((probe.get('exec') or {}).get('command') or ())}]"
    return (
        f"{what} delay={probe.get('initialDelaySeconds', 0)}s timeout={probe['timeoutSeconds']}s "
        f"period={probe['periodSeconds']}s #success={probe['successThreshold']} "
        f"#failure={probe['failureThreshold']}"
    )


def _container_state(label: str, state: Object | None) -> Lines:
    name, details = next(iter((state or {"waiting": {}}).items()))
    yield _line(label, name.capitalize(), 2)
    for key, shown in (
        ("reason", "Reason"),
        ("message", "Message"),
        ("exitCode", "Exit Code"),
        ("startedAt", "Started"),
        ("finishedAt", "Finished"),
    ):
        if details.get(key) not in (None, ""):
            yield _line(shown, str(details[key]), 3)


def _env(one: Object) -> str:
    source = one.get("valueFrom")
    if not source:
        return f"{one['name']}: {one.get('value', '')}"
    kind, ref = next(iter(source.items()))
    if kind == "fieldRef":
        return f"{one['name']}: ({ref.get('fieldPath')})"
    if kind == "resourceFieldRef":
        return f"{one['name']}: ({ref.get('resource')})"
    thing = {"configMapKeyRef": "config map", "secretKeyRef": "secret"}.get(kind, kind)
    optional = bool(ref.get("optional"))
    return (
        f"{one['name']}: <set to the key '{ref.get('key')}' in {thing} '{ref.get('name')}'>"
        f" Optional: {optional}"
    )


def _volumes(volumes: list[Object]) -> Lines:
    if not volumes:
        return
    yield "Volumes:"
    for volume in volumes:
        kind = next((str(key) for key in volume if key != "name"), "emptyDir")
        source = volume.get(kind) or {}
        yield f"{INDENT}{volume['name']}:"
        yield _line("Type", kind[0].upper() + kind[1:], 2)
        for key, value in source.items():
            if isinstance(value, str | int | bool):
                yield _line(key[0].upper() + key[1:], str(value), 2)


def _toleration(one: Object) -> str:
    text = str(one.get("key", ""))
    if one.get("value"):
        text += f"={one['value']}"
    if one.get("effect"):
        text += f":{one['effect']}"
    if one.get("operator") == "Exists":
        text += " op=Exists"
    if one.get("tolerationSeconds") is not None:
        text += f" for {one['tolerationSeconds']}s"
    return text


# --- workloads ----------------------------------------------------------------------------------


def _selector(selector: Object | None) -> str:
    parts = [f"{k}={v}" for k, v in ((selector or {}).get("matchLabels") or {}).items()]
    for one in (selector or {}).get("matchExpressions") or ():
        values = f" ({','.join(one['values'])})" if one.get("values") else ""
        parts.append(f"{one['key']} {one['operator'].lower()}{values}")
    return ",".join(parts)


def _template(template: Object) -> Lines:
    yield "Pod Template:"
    yield from _map("Labels", (template.get("metadata") or {}).get("labels"), "=", 1)
    for key, title in (("initContainers", "Init Containers"), ("containers", "Containers")):
        for container in template["spec"].get(key) or ():
            yield f"{INDENT}{title.removesuffix('s')} {container['name']}:"
            yield _line("Image", container.get("image"), 2)
            if container.get("command"):
                yield _line("Command", " ".join(container["command"]).replace("\n", "; "), 2)
            resources = container.get("resources") or {}
            for label in ("limits", "requests"):
                if resources.get(label):
                    yield from _map(label.capitalize(), resources[label], ": ", 2)


def _deployment(obj: Object, replicasets: list[Object]) -> Lines:
    spec, status = obj["spec"], obj.get("status") or {}
    yield _line("Selector", _selector(spec.get("selector")))
    unavailable = status.get("unavailableReplicas", 0)
    yield _line(
        "Replicas",
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | "
        f"{status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} available | "
        f"{unavailable} unavailable",
    )
    strategy = spec.get("strategy") or {}
    yield _line("StrategyType", strategy.get("type"))
    yield _line("MinReadySeconds", str(spec.get("minReadySeconds", 0)))
    rolling = strategy.get("rollingUpdate")
    if rolling:
        yield _line(
            "RollingUpdate",
            f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge",
        )
    yield from _template(spec["template"])
    yield from _conditions(obj, wide=False)
    active = [one for one in replicasets if one["spec"].get("replicas")]
    newest = max(replicasets, key=_revision, default=None)
    old = [_replicas_of(one) for one in active if one is not newest]
    yield _line("OldReplicaSets", ", ".join(old))
    yield _line("NewReplicaSet", _replicas_of(newest) if newest else None)


def _revision(replicaset: Object) -> int:
    text = (replicaset["metadata"].get("annotations") or {}).get(
        "deployment.kubernetes.io/revision"
    )
    return int(text) if text and text.isdecimal() else 0


def _replicas_of(replicaset: Object) -> str:
    created = (replicaset.get("status") or {}).get("replicas", 0)
    wanted = replicaset["spec"].get("replicas", 0)
    return f"{replicaset['metadata']['name']} ({created}/{wanted} replicas created)"


def _replicaset(obj: Object, pods: list[Object]) -> Lines:
    spec, status = obj["spec"], obj.get("status") or {}
    yield _line("Selector", _selector(spec.get("selector")))
    yield _line(
        "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired"
    )
    phases = [(pod.get("status") or {}).get("phase", "Pending") for pod in pods]
    counts = [
        f"{phases.count(phase)} {shown}"
        for phase, shown in (
            ("Running", "Running"),
            ("Pending", "Waiting"),
            ("Succeeded", "Succeeded"),
            ("Failed", "Failed"),
        )
    ]
    yield _line("Pods Status", " / ".join(counts))
    yield from _template(spec["template"])
    yield from _conditions(obj, wide=False)


# --- nodes --------------------------------------------------------------------------------------


def _node(node: Object, pods: list[Object]) -> Lines:
    spec, status = node["spec"], node.get("status") or {}
    taints = [
        f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t['effect']}"
        for t in spec.get("taints") or ()
    ]
    yield from _many("Taints", taints)
    yield _line("Unschedulable", bool(spec.get("unschedulable")))
    yield from _conditions(node, wide=True)
    yield "Addresses:"
    yield from _block({one["type"]: one["address"] for one in status.get("addresses") or ()})
    for label in ("capacity", "allocatable"):
        yield f"{label.capitalize()}:"
        yield from _block(status.get(label) or {})
    yield "System Info:"
    yield from _block({k[0].upper() + k[1:]: v for k, v in (status.get("nodeInfo") or {}).items()})
    yield _line("PodCIDR", spec.get("podCIDR"))
    yield from _pods_of_node(pods, status.get("allocatable") or {})


def _pods_of_node(pods: list[Object], allocatable: Object) -> Lines:
    yield _line("Non-terminated Pods", f"({len(pods)} in total)")
    head = ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits"]
    rows, totals = [[*head, "Age"]], [Fraction(0)] * 4
    for pod in pods:
        used = [_sum(pod, of, what) for what in ("cpu", "memory") for of in ("requests", "limits")]
        totals = [total + value for total, value in zip(totals, used, strict=True)]
        metadata = pod["metadata"]
        cells = [_amount(index, value) for index, value in enumerate(used)]
        rows.append([metadata["namespace"], metadata["name"], *cells,
                     age(metadata["creationTimestamp"])])  # fmt: skip
    if pods:
        yield from _table(rows)
    yield "Allocated resources:"
    shown = [["Resource", "Requests", "Limits"]]
    for index, what in enumerate(("cpu", "memory")):
        capacity = quantity.parse(allocatable.get(what, "0"))
        cells = [_share(2 * index + of, totals[2 * index + of], capacity) for of in (0, 1)]
        shown.append([what, *cells])
    yield from _table(shown)


def _sum(pod: Object, of: str, what: str) -> Fraction:
    containers = pod["spec"]["containers"]
    values = [((c.get("resources") or {}).get(of) or {}).get(what, "0") for c in containers]
    return sum((quantity.parse(value) for value in values), Fraction(0))


def _amount(index: int, value: Fraction) -> str:
    if index < 2:
        return f"{int(value * 1000)}m" if value else "0"
    return f"{int(value / 2**20)}Mi" if value else "0"


def _share(index: int, value: Fraction, capacity: Fraction) -> str:
    percent = int(100 * value / capacity) if capacity else 0
    return f"{_amount(index, value)} ({percent}%)"
