"""metrics.k8s.io/v1beta1: what nodes and Pods use now, for `kubectl top`. Room apiserver; called by
routes.py.

Nothing is stored and nothing is asked while nobody asks: the figures are the kubelets' own
(/stats/summary), a few seconds old at most, all nodes asked at once. A node that does not answer is
left out, as a Pod is that has only begun. Source: kubernetes/metrics `pkg/apis/metrics/v1beta1`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from apiserver import listing, shapes
from apiserver.errors import ApiError
from apiserver.kubelet_proxy import KubeletProxy
from apiserver.kubelet_summaries import CPU_AND_MEMORY, Answer, KubeletSummaries
from apiserver.negotiation import wanted
from apiserver.request_info import Call
from apiserver.storage import Record
from apiserver.verbs import Reply, Verbs
from podium.api import status
from podium.api.scheme import Resource, resource

Object = dict[str, Any]

_NODES, _PODS = resource("nodes"), resource("pods")


class ResourceMetrics:
    """One per server."""

    def __init__(self, verbs: Verbs, kubelets: KubeletProxy) -> None:
        self._verbs = verbs
        self._summaries = KubeletSummaries(kubelets, CPU_AND_MEMORY)

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
        for name, answer in self._summaries.ask(nodes).items():
            node = answer.summary["node"]
            yield _head("NodeMetrics", nodes[name], answer, node) | {"usage": _usage(node)}

    def _pods(self, found: Iterable[Record]) -> Iterable[Object]:
        pods = {r.uid: r.object for r in found if r.object["spec"].get("nodeName")}
        answers = self._summaries.ask({pod["spec"]["nodeName"] for pod in pods.values()})
        for answer in answers.values():
            for entry in answer.summary["pods"]:
                pod = pods.get(entry["podRef"]["uid"])
                if pod is not None and entry["containers"]:
                    containers = [
                        {"name": c["name"], "usage": _usage(c)} for c in entry["containers"]
                    ]
                    yield _head("PodMetrics", pod, answer, entry) | {"containers": containers}


def _fields(call: Call) -> str:
    return f"metadata.name={call.name}" if call.name else call.query.get("fieldSelector", "")


def _named(kind: Resource) -> Resource:
    """As metrics-server names them in errors: nodemetrics, podmetrics."""
    return Resource(kind.group, kind.version, kind.kind, kind.kind.lower(), "")


def _head(kind: str, about: Object, answer: Answer, entry: Object) -> Object:
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
