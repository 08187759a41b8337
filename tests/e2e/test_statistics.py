"""kubectl top and the kubelet's statistics pages, beside what the kernel says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.test_volumes import a_claim, a_user, claimed
from tests.support.namespaced import Namespaced, a_script

SPIN = "trap 'exit 0' TERM; dd if=/dev/zero of=/big bs=1M count=3 status=none; while :; do :; done"


def a_spinner(ns: Namespaced) -> dict[str, Any]:
    """A Pod that uses a quarter of a CPU."""
    resources = {"limits": {"cpu": "250m", "memory": "64Mi"}}
    ns.apply(a_script("spinner", SPIN, resources=resources))
    ns.wait("pod/spinner", "condition=Ready")
    return ns.get("pod", "spinner")


def page(ns: Namespaced, path: str, having: str = "") -> str:
    """A page of the node that shows `having`: it may be a second old."""

    def ask() -> str:
        text = ns.out("get", "--raw", f"/api/v1/nodes/{ns.cluster.nodes[0]}/proxy/{path}")
        return text if having in text else ""

    return ns.cluster.until(ask) if having else ask()


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """By name, as Prometheus itself reads the page; every family comes once."""
    families = list(parse(text))
    assert len({family.name for family in families}) == len(families)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def of_container(found: list[tuple[dict[str, str], float]], ns: Namespaced) -> tuple[Any, float]:
    (one,) = [
        (labels, value) for labels, value in found
        if labels.get("namespace") == ns.name and labels.get("container") == "main"
    ]  # fmt: skip
    return one


def test_top_shows_what_pods_and_containers_use(ns: Namespaced) -> None:
    a_spinner(ns)

    def millicores() -> bool:
        line = ns.out("top", "pods", "--no-headers").split()
        return line[:1] == ["spinner"] and 100 <= int(line[1].removesuffix("m")) <= 260

    ns.cluster.until(millicores, timeout_s=60)
    containers = ns.out("top", "pods", "--containers", "-l", "app=spinner", "--no-headers")
    assert re.fullmatch(r"spinner\s+main\s+\d+m\s+\d+Mi\s*", containers)
    assert "No resources found" in ns.kubectl("top", "pods", "-l", "app=other").stderr
    assert ns.out("get", "podmetrics").split()[:4] == ["NAME", "CPU", "MEMORY", "WINDOW"]


def test_top_shows_what_nodes_use(ns: Namespaced) -> None:
    name, cpu, cpu_share, memory, memory_share = ns.out("top", "nodes", "--no-headers").split()
    assert name == ns.cluster.nodes[0]
    assert int(cpu.removesuffix("m")) > 0
    assert int(memory.removesuffix("Mi")) > 0
    assert 0 <= int(cpu_share.removesuffix("%")) <= 100
    assert 0 < int(memory_share.removesuffix("%")) <= 100


def test_the_summary_is_the_kernels_account(ns: Namespaced) -> None:
    pod = a_spinner(ns)
    cgroups = ns.cluster.container_cgroups(pod)
    summary = json.loads(page(ns, "stats/summary", pod["metadata"]["uid"]))
    (found,) = [p for p in summary["pods"] if p["podRef"]["uid"] == pod["metadata"]["uid"]]
    (main,) = found["containers"]
    used = int(cgroups.read("memory.usage_in_bytes", "memory.current"))
    assert abs(main["memory"]["usageBytes"] - used) < 4 << 20
    assert main["memory"]["availableBytes"] <= 64 << 20
    assert main["rootfs"]["usedBytes"] >= 3 << 20
    assert found["ephemeral-storage"]["usedBytes"] >= main["rootfs"]["usedBytes"]
    assert found["process_stats"]["process_count"] >= 1
    sent = int(ns.sh("spinner", "cat /sys/class/net/eth0/statistics/tx_bytes"))
    assert 0 <= found["network"]["txBytes"] <= sent
    assert found["network"]["name"] == "eth0"


def test_cadvisors_metrics_carry_its_names_and_labels(ns: Namespaced) -> None:
    pod = a_spinner(ns)
    found = samples(page(ns, "metrics/cadvisor", f'namespace="{ns.name}"'))
    labels, seconds = of_container(found["container_cpu_usage_seconds_total"], ns)
    identity = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    assert (labels["pod"], labels["image"], labels["name"]) == ("spinner", "host", identity)
    assert labels["id"].endswith(f"/pod{pod['metadata']['uid']}/{identity}")
    assert labels["cpu"] == "total"
    assert seconds > 0
    assert of_container(found["container_spec_memory_limit_bytes"], ns)[1] == 64 << 20
    assert of_container(found["container_processes"], ns)[1] >= 1
    received = [v for k, v in found["container_network_receive_bytes_total"]
                if k["namespace"] == ns.name and k["interface"] == "eth0"]  # fmt: skip
    assert len(received) == 1


def test_resource_metrics_are_of_nodes_pods_and_containers(ns: Namespaced) -> None:
    a_spinner(ns)
    found = samples(page(ns, "metrics/resource", f'namespace="{ns.name}"'))
    assert of_container(found["container_memory_working_set_bytes"], ns)[1] > 0
    of_pods = {labels["pod"] for labels, _ in found["pod_cpu_usage_seconds_total"]}
    assert "spinner" in of_pods
    assert found["node_cpu_usage_seconds_total"][0][1] > 0


def test_the_kubelet_counts_its_own_work(ns: Namespaced) -> None:
    def started() -> float:
        found = samples(page(ns, "metrics")).get("kubelet_started_containers_total", [])
        return sum(value for _, value in found)

    before = started()
    a_spinner(ns)
    found = samples(page(ns, "metrics"))
    assert started() >= before + 1
    operations = {
        labels["operation_type"] for labels, _ in found["kubelet_runtime_operations_total"]
    }
    assert {"run_podsandbox", "create_container", "start_container"} <= operations
    assert found["kubelet_running_pods"][0][1] >= 1
    assert found["kubelet_pod_start_duration_seconds_count"][0][1] >= 1
    assert found["process_resident_memory_bytes"][0][1] > 1 << 20


def test_probes_are_counted_until_their_pod_is_gone(ns: Namespaced) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    ns.apply(a_script("probed", "sleep infinity", readinessProbe=probe))
    ns.wait("pod/probed", "condition=Ready")
    found = samples(page(ns, "metrics/probes"))["prober_probe_total"]
    labels, count = of_container(found, ns)
    assert (labels["probe_type"], labels["result"], labels["pod"]) == (
        "Readiness", "successful", "probed",
    )  # fmt: skip
    assert count >= 1
    ns.kubectl("delete", "pod", "probed", "--grace-period=1")
    ns.cluster.until(lambda: f'namespace="{ns.name}"' not in page(ns, "metrics/probes"))


def test_the_api_server_counts_requests_and_how_long_they_take(ns: Namespaced) -> None:
    found = samples(ns.out("get", "--raw", "/metrics"))
    made = {(k["verb"], k["resource"]): v for k, v in found["apiserver_request_total"]}
    assert made["CREATE", "namespaces"] >= 1
    took = {(k["verb"], k["resource"]) for k, _ in found["apiserver_request_duration_seconds_sum"]}
    assert ("CREATE", "namespaces") in took


def test_it_is_told_how_full_a_claims_volume_is(ns: Namespaced) -> None:
    ns.apply(a_claim())
    ns.apply(a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    ns.sh("one", "head -c 2000000 /dev/zero > /data/file")
    claim = f'namespace="{ns.name}",persistentvolumeclaim="data"'
    found = samples(page(ns, "metrics", claim))
    used = [v for k, v in found["kubelet_volume_stats_used_bytes"] if k["namespace"] == ns.name]
    assert used == [pytest.approx(2_000_000, rel=0.1)]
    uid = ns.get("pod", "one")["metadata"]["uid"]
    (pod,) = [p for p in json.loads(page(ns, "stats/summary", uid))["pods"]
              if p["podRef"]["uid"] == uid]  # fmt: skip
    (volume,) = [v for v in pod["volume"] if "pvcRef" in v]  # the other is its token's
    assert volume["pvcRef"] == {"name": "data", "namespace": ns.name}
    assert volume["capacityBytes"] > volume["usedBytes"] > 0
