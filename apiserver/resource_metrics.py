"""metrics.k8s.io/v1beta1: what nodes and Pods use now, for `kubectl top`. Room apiserver; called by
routes.py.

Nothing is stored and nothing is asked while nobody asks: the figures are the kubelets' own
(/stats/summary), a few seconds old at most, all nodes asked at once. A node that does not answer is
left out, as a Pod is that has only begun. Source: kubernetes/metrics `pkg/apis/metrics/v1beta1`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gevent
import orjson

from apiserver import listing, shapes
from apiserver.errors import ApiError
from apiserver.kubelet_proxy import KubeletProxy
from apiserver.negotiation import wanted
from apiserver.request_info import Call
from apiserver.storage import Record
from apiserver.verbs import Reply, Verbs
from podium.api import status
from podium.api.scheme import Resource, resource

Object = dict[str, Any]
log = logging.getLogger("apiserver.metrics")

FRESH_S = 2.0
SUMMARY = "/stats/summary?only_cpu_and_memory=true"
_NODES, _PODS = resource("nodes"), resource("pods")


@dataclass(slots=True)
class _Answer:
    """What a node said, and when; `summary` is empty if it did not."""

    at: float
    summary: Object
    window: str


class ResourceMetrics:
    """One per server."""

    def __init__(self, verbs: Verbs, kubelets: KubeletProxy) -> None:
        self._verbs, self._kubelets = verbs, kubelets
        self._asking: dict[str, gevent.Greenlet] = {}  # by node; shared by all who wait
        self._known: dict[str, _Answer] = {}

    def handle(self, call: Call) -> Reply:
        """GET or LIST; ApiError 404 for what has no figures."""
        if call.verb not in ("get", "list"):
            raise ApiError(status.method_not_allowed(call.resource))
        is_nodes = call.resource.plural == "nodes"
        source = _NODES if is_nodes else _PODS
        filter_ = listing.parse_filter(
            source, call.namespace, call.query.get("labelSelector", ""), _fields(call)
        )
        pages = listing.pages(self._verbs.store, source, filter_)
        found = [record for page in pages for record in page.records]
        items = list(self._nodes(found) if is_nodes else self._pods(found))
        form = wanted(call.environ.get("HTTP_ACCEPT", ""))
        include = call.query.get("includeObject", "")
        records = [_record(obj) for obj in items]
        if call.name is None:
            selection = listing.Selection(records, 0)
            return Reply(200, shapes.whole_list(form, call.resource, selection, include))
        if not records:
            name = f"{call.namespace}/{call.name}" if call.namespace else call.name
            raise ApiError(status.not_found(_named(call.resource), name))
        return Reply(200, shapes.one(form, call.resource, records[0], include))

    def _nodes(self, found: Iterable[Record]) -> Iterable[Object]:
        nodes = {record.name: record.object for record in found}
        for name, answer in self._ask(nodes).items():
            node = answer.summary["node"]
            yield _head("NodeMetrics", nodes[name], answer, node) | {"usage": _usage(node)}

    def _pods(self, found: Iterable[Record]) -> Iterable[Object]:
        pods = {r.uid: r.object for r in found if r.object["spec"].get("nodeName")}
        answers = self._ask({pod["spec"]["nodeName"] for pod in pods.values()})
        for answer in answers.values():
            for entry in answer.summary["pods"]:
                pod = pods.get(entry["podRef"]["uid"])
                if pod is not None and entry["containers"]:
                    containers = [
                        {"name": c["name"], "usage": _usage(c)} for c in entry["containers"]
                    ]
                    yield _head("PodMetrics", pod, answer, entry) | {"containers": containers}

    # ---- asking the kubelets ------------------------------------------------------------------

    def _ask(self, names: Iterable[str]) -> dict[str, _Answer]:
        """What the nodes say, each asked at most every FRESH_S, in the order of their names."""
        wanted_nodes = sorted(names)
        old = time.monotonic() - FRESH_S
        for name in wanted_nodes:
            known = self._known.get(name)
            if name not in self._asking and (known is None or known.at < old):
                self._asking[name] = gevent.spawn(self._ask_one, name)
        gevent.joinall([g for name, g in self._asking.items() if name in wanted_nodes])
        answers = {name: self._known[name] for name in wanted_nodes if name in self._known}
        return {name: answer for name, answer in answers.items() if answer.summary}

    def _ask_one(self, name: str) -> None:
        summary, window = {}, ""
        try:
            body, headers = self._kubelets.ask(name, SUMMARY)
            summary, window = orjson.loads(body), headers.get("Podium-Window-Seconds", "0")
        except (ApiError, ValueError) as failure:
            log.info("no figures of node %s: %s", name, failure)
        finally:
            self._known[name] = _Answer(time.monotonic(), summary, f"{float(window or 0):.3f}s")
            del self._asking[name]


def _fields(call: Call) -> str:
    return f"metadata.name={call.name}" if call.name else call.query.get("fieldSelector", "")


def _named(kind: Resource) -> Resource:
    """As metrics-server names them in errors: nodemetrics, podmetrics."""
    return Resource(kind.group, kind.version, kind.kind, kind.kind.lower(), "")


def _head(kind: str, about: Object, answer: _Answer, entry: Object) -> Object:
    source = about["metadata"]
    metadata = {name: source[name] for name in ("name", "namespace", "labels") if source.get(name)}
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {**metadata, "creationTimestamp": entry["cpu"]["time"]},
        "timestamp": entry["cpu"]["time"],
        "window": answer.window,
    }


def _usage(entry: Object) -> Object:
    return {
        "cpu": f"{entry['cpu']['usageNanoCores']}n",
        "memory": f"{entry['memory']['workingSetBytes'] // 1024}Ki",
    }


def _record(obj: Object) -> Record:
    about = obj["metadata"]
    return Record(about.get("namespace", ""), about["name"], "", 0, 0, orjson.dumps(obj), obj)
