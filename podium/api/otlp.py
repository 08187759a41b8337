"""Room podium/api: spans as OTLP/JSON (OpenTelemetry protocol, `ExportTraceServiceRequest`). Pure.

Made from what `/podium/v1/trace/…` and `/podium/v1/spans` answer. Attribute names are
OpenTelemetry's where it has one (`k8s.…`, `container.id`, `process.pid`), else `podium.…`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podium.api.meta import parse_time

Object = dict[str, Any]

SCOPE = "podium"
INTERNAL, ERROR = 1, 2  # SPAN_KIND_INTERNAL, STATUS_CODE_ERROR
_KNOWN = {"pid": "process.pid", "containerID": "container.id", "container": "k8s.container.name",
          "image": "container.image.name", "ip": "k8s.pod.ip"}  # fmt: skip
_API_SERVER = "apiserver"


def to_otlp(spans: Iterable[Object], trace_id: str = "") -> Object:
    """`trace_id`: of those that do not say it themselves. One resource for each component."""
    by_component: dict[str, list[Object]] = {}
    for span in spans:
        by_component.setdefault(service_name(span), []).append(
            _span(span, span.get("traceId") or trace_id)
        )
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": name})},
                "scopeSpans": [{"scope": {"name": SCOPE}, "spans": found}],
            }
            for name, found in by_component.items()
        ]
    }


def service_name(span: Object) -> str:
    """The component that a span is of: "podium-kubelet-node-1"."""
    return "podium-" + (span.get("component") or _API_SERVER).replace(" ", "-")


def _span(span: Object, trace_id: str) -> Object:
    began_ns = int(parse_time(span["began"]).timestamp() * 1e6) * 1000
    made: Object = {
        "traceId": trace_id,
        "spanId": span["spanId"],
        "parentSpanId": span["parentId"],
        "name": span["name"],
        "kind": INTERNAL,
        "startTimeUnixNano": str(began_ns),
        "endTimeUnixNano": str(began_ns + int(span["durationMs"] * 1000) * 1000),
        "attributes": _attributes(attributes_of(span)),
        "links": [{"traceId": trace_id, "spanId": link["spanId"]}
                  for link in span.get("links") or () if link["spanId"]],
    }  # fmt: skip
    if outcome := (span.get("attributes") or {}).get("outcome"):
        made["status"] = {"code": ERROR, "message": outcome}
    return made


def attributes_of(span: Object) -> Object:
    """By name: texts, whole numbers and truths."""
    found: Object = {"podium.kind": span["kind"], "podium.finished": span["isFinished"]}
    for name in ("key", "revision", "verb", "subresource", "by", "manager"):
        if span.get(name):
            found[f"podium.{name}"] = span[name]
    if obj := span.get("object"):
        found["podium.resource"] = obj["resource"]
        found["podium.name"] = obj["name"]
        if obj["namespace"]:
            found["k8s.namespace.name"] = obj["namespace"]
    for name, value in (span.get("attributes") or {}).items():
        found[_KNOWN.get(name, f"podium.{name}")] = value
    return found


def _attributes(values: Object) -> list[Object]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> Object:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": str(value)}
