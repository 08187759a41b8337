"""Spans handed on to a collector: a real HTTP receiver that decodes OpenTelemetry's protobuf."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from podium.api.otlp import to_otlp
from podium.otlp.exporter import Exporter, traces_url
from tests.integration.apiserver.plain_http import Api, a_config_map
from tests.support.api_server import ApiServerProcess

TRACE, SPAN = "ab" * 16, "cd" * 8


class Collector(HTTPServer):
    """Keeps what it is sent, by span id; `answers` are its next status codes, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: dict[str, Any] = {}
        self.services: set[str] = set()
        self.answers: list[int] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            (name,) = (a.value.string_value for a in resource.resource.attributes)
            self.services.add(name)
            for scope in resource.scope_spans:
                self.spans |= {span.span_id.hex(): span for span in scope.spans}


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        code = self.server.answers.pop(0) if self.server.answers else 200
        if code == 200 and self.path == "/v1/traces":
            self.server.take(body)
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """It is silent."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture
def exporter(server: ApiServerProcess, collector: Collector) -> Exporter:
    """One that knows where to begin: with what comes now."""
    exporter = Exporter(server.client("controllers"), collector.endpoint)
    assert exporter.hand_on()
    return exporter


def a_write_and_its_span(api: Api, ns: str) -> str:
    """The id of the write's own span."""
    parent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "podium=replicaset/1700/5"}
    assert api.call("POST", f"{ns}/configmaps", a_config_map(), **parent).code == 201
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentId": "",
        "kind": "reconcile",
        "name": "replicaset",
        "key": "default/web",
        "beganUs": 1_700_000_000_000_000,
        "endedUs": 1_700_000_000_002_500,
        "attributes": {"queueUs": 7, "outcome": "Boom: x"},
    }
    told = api.post("/podium/v1/spans", {"component": "controllers", "spans": [span]})
    assert told.code == 200
    (cause,) = [
        cause for cause in api.get(f"{ns}/configmaps", podium_causes="true").json["causes"].values()
        if TRACE in cause["traceparent"]
    ]  # fmt: skip
    return str(cause["traceparent"].split("-")[2])


def test_a_collector_gets_spans_and_changes_as_one_trace(
    api: Api, ns: str, collector: Collector, exporter: Exporter
) -> None:
    write = a_write_and_its_span(api, ns)
    assert exporter.hand_on()
    reconcile, change = collector.spans[SPAN], collector.spans[write]
    assert change.parent_span_id.hex() == SPAN
    assert change.trace_id.hex() == reconcile.trace_id.hex() == TRACE
    assert reconcile.end_time_unix_nano - reconcile.start_time_unix_nano == 2_500_000
    assert reconcile.status.message == "Boom: x"
    assert {"podium-controllers", "podium-apiserver"} <= collector.services


def test_what_a_collector_did_not_take_is_sent_again(
    api: Api, ns: str, collector: Collector, exporter: Exporter
) -> None:
    write = a_write_and_its_span(api, ns)
    collector.answers = [400]
    assert not exporter.hand_on()
    assert write not in collector.spans
    assert exporter.hand_on()
    assert write in collector.spans


def test_otlp_json_is_what_the_protocol_says(api: Api, ns: str) -> None:
    a_write_and_its_span(api, ns)
    name = ns.rpartition("/")[2]
    trace = api.get(f"/podium/v1/trace/configmaps/{name}/cm").json
    request = json_format.ParseDict(
        _with_base64_ids(to_otlp(trace["spans"], trace["traceId"])), ExportTraceServiceRequest()
    )
    names = [s.name for r in request.resource_spans for c in r.scope_spans for s in c.spans]
    assert f"create configmaps {name}/cm" in names


def _with_base64_ids(request: Any) -> Any:
    """OTLP/JSON has ids in hex where protobuf's JSON has bytes in base64: the one difference."""
    import base64

    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return request


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_means_the_usual_one(said: str, meant: str) -> None:
    assert traces_url(said) == meant
