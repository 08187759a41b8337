"""Why a Pod is on its node, or on none: /podium/v1/why/pods/<namespace>/<name>.

Room apiserver; answered through insight.py. What the scheduler has noted on the Pod
(controllers/scheduler/reasons.py), beside what the Pod says of itself.
"""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.errors import ApiError
from apiserver.request_info import Call
from apiserver.storage import Record
from podium.api import meta, status

Object = dict[str, Any]

DECISION = "scheduler.podium.dev/decision"


def answer(call: Call, record: Record) -> Object:
    """ApiError 404 for what no scheduler places."""
    if call.resource.key != "pods":
        raise ApiError(status.page_not_found())
    return why(record.object)


def why(pod: Object) -> Object:
    """The answer of one Pod; pure."""
    spec, about = pod["spec"], pod["metadata"]
    decision = decision_of(pod)
    condition = meta.condition(pod, "PodScheduled")
    answered: Object = {
        "kind": "SchedulingDecision",
        "apiVersion": "podium.dev/v1",
        "pod": {name: about[name] for name in ("namespace", "name", "uid")},
        "scheduler": spec.get("schedulerName") or "default-scheduler",
        "node": spec.get("nodeName") or "",
        "decision": decision,
    }
    if condition is not None and condition.get("message"):
        answered["message"] = condition["message"]
    if decision is None:
        answered["message"] = _without(spec, answered.get("message"))
    return answered


def decision_of(pod: Object) -> Object | None:
    """What the scheduler noted; None if it has not, or if somebody has spoiled it."""
    text = (pod["metadata"].get("annotations") or {}).get(DECISION)
    try:
        found = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _without(spec: Object, message: str | None) -> str:
    if spec.get("nodeName"):
        return "no scheduler has placed this Pod: its node was named when it was made"
    return message or "no scheduler has looked at this Pod yet"
