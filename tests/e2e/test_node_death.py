"""A node of which nothing is heard any more: what lesson 9 tells under "A node dies"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cluster import running_cluster
from tests.support.namespaced import Namespaced, a_web_deployment

UNREACHABLE = "node.kubernetes.io/unreachable"
NOTICED_S = 60  # the controllers give a node 40 s


def test_its_pods_are_deleted_and_made_anew_and_go_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_cluster(tmp_path_factory.mktemp("lab"), "--lab") as cluster:
        ns = Namespaced(cluster, "default")
        deployment = a_web_deployment(replicas=1)
        deployment["spec"]["template"]["spec"]["tolerations"] = [
            {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute",
             "tolerationSeconds": 2}
        ]  # fmt: skip
        ns.apply(deployment)
        ns.rollout_done("deploy/web")
        (old,) = ns.items("pods")
        node = cluster.nodes[0]
        cluster.podium("fault", "cut-off", node, "--for", "10m")

        cluster.until(lambda: _ready_of(ns, node)["status"] == "Unknown", timeout_s=NOTICED_S)
        assert _ready_of(ns, node)["reason"] == "NodeStatusUnknown"
        taints = ns.get("node", node)["spec"]["taints"]
        assert {(t["key"], t["effect"]) for t in taints} == {
            (UNREACHABLE, "NoSchedule"),
            (UNREACHABLE, "NoExecute"),
        }
        cluster.until(lambda: len(ns.items("pods")) == 2)
        pods = {pod["metadata"]["name"]: pod for pod in ns.items("pods")}
        left = pods.pop(old["metadata"]["name"])
        assert left["metadata"]["deletionTimestamp"]  # asked to go; nobody knows whether it has
        assert left["status"]["phase"] == "Running"
        (new,) = pods.values()
        assert new["status"]["phase"] == "Pending"

        cluster.podium("fault", "undo", "--all")
        ns.rollout_done("deploy/web")
        cluster.until(lambda: [_name(pod) for pod in ns.items("pods")] == [_name(new)])
        assert not ns.get("node", node)["spec"].get("taints")


def _ready_of(ns: Namespaced, node: str) -> dict[str, Any]:
    conditions = ns.get("node", node)["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "Ready")


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])
