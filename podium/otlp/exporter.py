"""From `/podium/v1/spans` to a collector. Room podium/otlp; runs in the exporter's process.

It asks for what is new since it last asked and goes on only when the collector has taken it, so a
collector that is away for a while misses nothing that is still kept. What was told before it
started is not sent. A span that was never told (its process was killed) is not either: a collector
may show a parent as missing where `podium trace` shows it as unfinished.
"""

from __future__ import annotations

import logging
import threading
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from podium.api.meta import parse_time
from podium.api.otlp import SCOPE, attributes_of, service_name
from podium.client.errors import ClientError
from podium.client.http import Client

Object = dict[str, Any]

SPANS = "/podium/v1/spans"
EVERY_S = 2.0  # components send what they have twice a second
LAST_RETRY_S = 60.0

_log = logging.getLogger("otlp")


def traces_url(endpoint: str) -> str:
    """A collector's address as OTLP has it: without a path, /v1/traces is meant."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/traces"


class Exporter:
    """`run()` until `stop()`."""

    def __init__(self, client: Client, endpoint: str) -> None:
        self._client = client
        self._collector: SpanExporter = OTLPSpanExporter(endpoint=traces_url(endpoint))
        self._next: Object = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Safe from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            try:
                is_taken = self.hand_on()
            except ClientError as error:
                _log.info("%s", error)
                is_taken = False
            pause_s = EVERY_S if is_taken else min(LAST_RETRY_S, 2 * max(pause_s, EVERY_S))
        self._collector.shutdown()

    def hand_on(self) -> bool:
        """Send what is new; False if it is to be tried again."""
        while not self._stopping.is_set():
            answer: Object = self._client.raw("GET", SPANS, query=self._next).json()
            spans = answer["spans"]
            if (
                spans
                and self._collector.export([readable(span) for span in spans])
                is not SpanExportResult.SUCCESS
            ):
                _log.warning("the collector did not take %d spans; trying again", len(spans))
                return False
            self._next = answer["next"]
            if not spans:
                return True
        return True


def readable(span: Object) -> ReadableSpan:
    """A span of the API as the SDK's exporters take it."""
    trace_id = int(span["traceId"], 16)
    began_ns = int(parse_time(span["began"]).timestamp() * 1e6) * 1000
    outcome = span["attributes"].get("outcome")
    return ReadableSpan(
        span["name"],
        context=_context(trace_id, span["spanId"]),
        parent=_context(trace_id, span["parentId"]) if span["parentId"] else None,
        resource=Resource({"service.name": service_name(span)}),
        attributes=attributes_of(span),
        links=[
            Link(_context(trace_id, link["spanId"])) for link in span["links"] if link["spanId"]
        ],
        kind=SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope(SCOPE),
        status=Status(StatusCode.ERROR, outcome) if outcome else Status(),
        start_time=began_ns,
        end_time=began_ns + int(span["durationMs"] * 1000) * 1000,
    )


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED))
