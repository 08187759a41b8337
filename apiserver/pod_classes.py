"""A Pod's classes as it comes to be: its priority by its PriorityClass, its overhead and its nodes
by its RuntimeClass.

Room apiserver; called by admission.py. Source: Kubernetes' admission plugins Priority and
RuntimeClass, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver import listing
from apiserver.errors import ApiError
from apiserver.storage import Store
from podium.api import quantity, status
from podium.api.scheme import resource

Object = dict[str, Any]

PRIORITY_CLASSES = resource("priorityclasses")
RUNTIME_CLASSES = resource("runtimeclasses")
_PREEMPTION = "PreemptLowerPriority"


def _refuse(pod: Object, why: str) -> ApiError:
    return ApiError(status.forbidden(resource("pods"), pod["metadata"].get("name", ""), why))


# ---- priority -----------------------------------------------------------------------------------


def fill_in_priority(store: Store, pod: Object) -> None:
    """The number and the preemptionPolicy of its class; ApiError 403 if it names one that is not
    there, or says another number itself."""
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    if name:
        record = store.get(PRIORITY_CLASSES.key, "", name)
        if record is None:
            raise _refuse(pod, f"no PriorityClass with name {name} was found")
        found: Object | None = record.object
    else:
        found = _default_class(store)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    value = int(found.get("value") or 0) if found is not None else 0
    policy = str((found or {}).get("preemptionPolicy") or _PREEMPTION)
    if spec.get("priority") not in (None, value):
        raise _refuse(
            pod,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name",
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        raise _refuse(
            pod,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
            f"provided in pod spec; priority admission controller computed {policy} from the given "
            "PriorityClass name",
        )
    spec["priority"], spec["preemptionPolicy"] = value, policy


def _default_class(store: Store) -> Object | None:
    """Of several the lowest: there should be one, but two can be made at the same moment."""
    marked = [one for one in _classes(store) if one.get("globalDefault")]
    return min(marked, key=lambda one: int(one.get("value") or 0), default=None)


def _classes(store: Store) -> list[Object]:
    pages = listing.pages(store, PRIORITY_CLASSES, listing.Filter(None))
    return [record.object for page in pages for record in page.records]


def check_only_default(store: Store, wanted: Object) -> None:
    """A second PriorityClass with globalDefault is refused; ApiError 403."""
    name = wanted["metadata"].get("name", "")
    if not wanted.get("globalDefault"):
        return
    for other in _classes(store):
        if other.get("globalDefault") and other["metadata"]["name"] != name:
            why = (
                f"PriorityClass {other['metadata']['name']} is already marked as default. Only one "
                "default can exist"
            )
            raise ApiError(status.forbidden(PRIORITY_CLASSES, name, why))


# ---- runtime class ------------------------------------------------------------------------------


def fill_in_runtime_class(store: Store, pod: Object) -> None:
    """What the class's Pods cost beyond their containers, and which nodes can run them; ApiError
    403."""
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            why = (
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )
            raise _refuse(pod, why)
        return
    record = store.get(RUNTIME_CLASSES.key, "", name)
    if record is None:
        raise _refuse(pod, f'pod rejected: RuntimeClass "{name}" not found')
    _fill_in_overhead(pod, (record.object.get("overhead") or {}).get("podFixed") or {})
    _fill_in_scheduling(pod, record.object.get("scheduling") or {})


def _fill_in_overhead(pod: Object, fixed: Object) -> None:
    said = pod["spec"].get("overhead")
    if not fixed:
        if said:
            why = (
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )
            raise _refuse(pod, why)
        return
    if said and _amounts(said) != _amounts(fixed):
        why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        raise _refuse(pod, why)
    pod["spec"]["overhead"] = dict(fixed)


def _amounts(quantities: Object) -> Object:
    return {name: quantity.parse(value) for name, value in quantities.items()}


def _fill_in_scheduling(pod: Object, scheduling: Object) -> None:
    spec = pod["spec"]
    selector = scheduling.get("nodeSelector") or {}
    own = spec.get("nodeSelector") or {}
    for key, value in selector.items():
        if own.get(key, value) != value:
            raise _refuse(
                pod,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}",
            )
    if selector:
        spec["nodeSelector"] = {**own, **selector}
    tolerations = spec.get("tolerations") or []
    more = [one for one in scheduling.get("tolerations") or () if one not in tolerations]
    if more:
        spec["tolerations"] = [*tolerations, *(dict(one) for one in more)]
