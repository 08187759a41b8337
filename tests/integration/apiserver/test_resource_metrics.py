"""metrics.k8s.io: the figures are the kubelets', the objects' names and labels the store's."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.apiserver.fake_kubelet import FakeKubelet
from tests.integration.apiserver.plain_http import Api, a_new_pod

METRICS = "/apis/metrics.k8s.io/v1beta1"
TIME = "2026-11-25T12:00:00Z"


def usage(nano_cores: int, kibibytes: int) -> dict[str, Any]:
    return {
        "cpu": {"time": TIME, "usageNanoCores": nano_cores},
        "memory": {"time": TIME, "workingSetBytes": kibibytes * 1024},
    }


def says(kubelet: FakeKubelet, summary: dict[str, Any]) -> None:
    body = json.dumps(summary).encode()
    head = f"HTTP/1.1 200 OK\r\nPodium-Window-Seconds: 10.5\r\nContent-Length: {len(body)}\r\n\r\n"
    kubelet.answer = head.encode() + body


def test_figures_of_pods_and_nodes_are_their_kubelets(
    api: Api, ns: str, kubelet: FakeKubelet
) -> None:
    name = ns.rsplit("/", 1)[1]
    labelled = a_new_pod(nodeName="node-1")
    labelled["metadata"]["labels"] = {"app": "web"}
    made = api.post(f"{ns}/pods", labelled).json
    api.post(f"{ns}/pods", a_new_pod("silent", nodeName="node-1"))
    entry = {
        "podRef": {"name": "web", "namespace": name, "uid": made["metadata"]["uid"]},
        "containers": [{"name": "main", **usage(250_000_000, 64)}], **usage(1, 1),
    }  # fmt: skip
    says(kubelet, {"node": {"nodeName": "node-1", **usage(1_500_000_000, 2048)}, "pods": [entry]})

    node = api.get(f"{METRICS}/nodes/node-1").json
    assert kubelet.asked.startswith(b"GET /stats/summary?only_cpu_and_memory=true HTTP/1.1\r\n")
    assert (node["kind"], node["timestamp"], node["window"]) == ("NodeMetrics", TIME, "10.500s")
    assert node["usage"] == {"cpu": "1500000000n", "memory": "2048Ki"}

    pods = api.get(f"{METRICS}/namespaces/{name}/pods").json
    assert (pods["kind"], len(pods["items"])) == ("PodMetricsList", 1)
    pod = pods["items"][0]
    assert pod["metadata"]["labels"] == {"app": "web"}
    usage_of_main = {"cpu": "250000000n", "memory": "64Ki"}
    assert pod["containers"] == [{"name": "main", "usage": usage_of_main}]

    selected = f"{METRICS}/namespaces/{name}/pods?labelSelector=no%3Dsuch"
    assert api.get(selected).json["items"] == []
    gone = api.get(f"{METRICS}/namespaces/{name}/pods/silent")
    assert gone.message == f'podmetrics.metrics.k8s.io "{name}/silent" not found'
    assert api.post(f"{METRICS}/namespaces/{name}/pods", pod).code == 405


def test_a_node_that_does_not_answer_is_left_out(api: Api) -> None:
    api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mute"}})
    listed = api.get(f"{METRICS}/nodes?fieldSelector=metadata.name%3Dmute").json
    assert (listed["kind"], listed["items"]) == ("NodeMetricsList", [])
    gone = api.get(f"{METRICS}/nodes/mute")
    assert (gone.code, gone.message) == (404, 'nodemetrics.metrics.k8s.io "mute" not found')


def test_the_group_is_discovered(api: Api) -> None:
    groups = [group["name"] for group in api.get("/apis").json["groups"]]
    assert "metrics.k8s.io" in groups
    found = {r["name"]: r["kind"] for r in api.get(METRICS).json["resources"]}
    assert found == {"nodes": "NodeMetrics", "pods": "PodMetrics"}
