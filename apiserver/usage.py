"""What a node or a Pod uses now: /podium/v1/usage/pods/<namespace>/<name>, …/nodes/-/<name>.

Room apiserver; mounted by routes.py. The figures are its kubelet's own (/stats/summary), a few
seconds old at most, asked for when somebody wants them and shared by all who do. CPU and network
are counters: two answers and the time between them give a rate.
"""

from __future__ import annotations

from typing import Any

from apiserver.errors import ApiError
from apiserver.kubelet_summaries import KubeletSummaries
from apiserver.request_info import Call
from apiserver.storage import Record
from podium.api import status

Object = dict[str, Any]


class Usage:
    """`of(call, record)` answers for a Node or a Pod; ApiError 404 for any other kind."""

    def __init__(self, summaries: KubeletSummaries) -> None:
        self._summaries = summaries

    def of(self, call: Call, record: Record) -> Object:
        match call.resource.key:
            case "nodes":
                return _answer(self._node(record.name))
            case "pods":
                return _answer(self._pod(record))
        raise ApiError(status.page_not_found())

    def _node(self, name: str) -> tuple[Object | None, str]:
        answer = self._summaries.ask([name]).get(name)
        if answer is None:
            return None, f"node {name} does not answer"
        node = answer.summary["node"]
        disk = node["fs"]
        return {
            **_common(node),
            "diskUsedBytes": disk["usedBytes"],
            "diskCapacityBytes": disk["capacityBytes"],
            "processes": node.get("rlimit", {}).get("curproc"),
        }, ""

    def _pod(self, record: Record) -> tuple[Object | None, str]:
        name = record.object["spec"].get("nodeName")
        if not name:
            return None, "the Pod has no node yet"
        answer = self._summaries.ask([name]).get(name)
        if answer is None:
            return None, f"node {name} does not answer"
        for pod in answer.summary["pods"]:
            if pod["podRef"]["uid"] == record.uid:
                return {
                    **_common(pod),
                    "diskUsedBytes": pod.get("ephemeral-storage", {}).get("usedBytes"),
                    "processes": pod.get("process_stats", {}).get("process_count"),
                    "containers": [_container(c) for c in pod["containers"]],
                }, ""
        return None, "none of the Pod's containers runs"


def _answer(found: tuple[Object | None, str]) -> Object:
    figures, message = found
    return {"kind": "Usage", "apiVersion": "podium.dev/v1", "figures": figures, "message": message}


def _common(entry: Object) -> Object:
    """CPU, memory and network: written alike for a node and for a Pod."""
    network = entry.get("network") or {}
    return {
        "at": entry["cpu"]["time"],
        "cpuUsedNanoseconds": entry["cpu"]["usageCoreNanoSeconds"],
        "memoryBytes": entry["memory"]["workingSetBytes"],
        "receivedBytes": network.get("rxBytes"),
        "sentBytes": network.get("txBytes"),
    }


def _container(entry: Object) -> Object:
    return {
        "name": entry["name"],
        "cpuUsedNanoseconds": entry["cpu"]["usageCoreNanoSeconds"],
        "memoryBytes": entry["memory"]["workingSetBytes"],
        "diskUsedBytes": entry["rootfs"]["usedBytes"] + entry["logs"]["usedBytes"],
    }
