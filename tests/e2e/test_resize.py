"""`kubectl patch --subresource resize`: what a running Pod may use is changed where it runs."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.support.cluster import ContainerCgroups
from tests.support.namespaced import Namespaced, a_script, a_sleeper

MI = 1 << 20
SMALL = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}


def resize(ns: Namespaced, name: str = "web", *, check: bool = True, **kinds: Any) -> str:
    """What kubectl says."""
    patch = {"spec": {"containers": [{"name": "main", "resources": kinds}]}}
    options = ("--subresource", "resize", "-p", json.dumps(patch))
    done = ns.kubectl("patch", "pod", name, *options, check=check)
    return done.stdout + done.stderr


def running(ns: Namespaced, pod: dict[str, Any]) -> ContainerCgroups:
    ns.apply(pod)
    name = pod["metadata"]["name"]
    ns.wait(f"pod/{name}", "condition=Ready")
    return ns.cluster.container_cgroups(ns.get("pod", name))


def cpu_limit_of(cgroups: ContainerCgroups, above: int = 0) -> int:
    """Microseconds in each tenth of a second."""
    return int(cgroups.read("cpu.cfs_quota_us", "cpu.max", above).split()[0])


def memory_limit_of(cgroups: ContainerCgroups, above: int = 0) -> int:
    return int(cgroups.read("memory.limit_in_bytes", "memory.max", above))


def shown(ns: Namespaced, name: str = "web") -> dict[str, Any]:
    return ns.get("pod", name)["status"]["containerStatuses"][0]


def state_of_resize(ns: Namespaced, name: str = "web") -> str:
    return ns.get("pod", name)["status"].get("resize", "")


def test_cpu_and_memory_are_resized_in_place(ns: Namespaced) -> None:
    cgroups = running(ns, a_sleeper(resources=SMALL))
    assert shown(ns)["resources"] == SMALL
    bigger = {"cpu": "300m", "memory": "96Mi"}
    resize(ns, requests={"cpu": "150m"}, limits=bigger)
    ns.cluster.until(lambda: shown(ns)["resources"]["limits"] == bigger)
    assert [cpu_limit_of(cgroups, above) for above in (0, 1)] == [30_000, 30_000]
    assert [memory_limit_of(cgroups, above) for above in (0, 1)] == [96 * MI, 96 * MI]
    assert cgroups.read("cpu.shares", "cpu.weight") in ("153", "6")
    status = shown(ns)
    assert status["allocatedResources"] == {"cpu": "150m", "memory": "32Mi"}
    assert (status["restartCount"], state_of_resize(ns)) == (0, "")


def test_a_pod_shrinks_too(ns: Namespaced) -> None:
    cgroups = running(ns, a_sleeper(resources=SMALL))
    resize(ns, limits={"cpu": "120m", "memory": "40Mi"})
    ns.cluster.until(lambda: memory_limit_of(cgroups, 1) == 40 * MI)
    assert [cpu_limit_of(cgroups, above) for above in (0, 1)] == [12_000, 12_000]
    assert memory_limit_of(cgroups) == 40 * MI


def test_a_container_is_restarted_if_its_policy_says_so(ns: Namespaced) -> None:
    pod = a_sleeper(resources=SMALL)
    pod["spec"]["containers"][0]["resizePolicy"] = [
        {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    ]
    running(ns, pod)
    resize(ns, limits={"memory": "80Mi"})
    ns.cluster.until(lambda: shown(ns)["restartCount"] == 1 and "running" in shown(ns)["state"])
    again = ns.cluster.container_cgroups(ns.get("pod", "web"))
    assert [memory_limit_of(again, above) for above in (0, 1)] == [80 * MI, 80 * MI]
    resize(ns, limits={"cpu": "250m"})
    ns.cluster.until(lambda: cpu_limit_of(again) == 25_000)
    assert shown(ns)["restartCount"] == 1
    ns.cluster.until(lambda: state_of_resize(ns) == "")


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        ({"requests": {"cpu": "200m", "memory": "64Mi"}}, "Pod QOS Class may not change"),
        ({"limits": {"cpu": None}}, "resource limits cannot be removed"),
        ({"limits": {"cpu": "50m"}}, "must be less than or equal to cpu limit of 50m"),
        ({"limits": {"ephemeral-storage": "1Gi"}}, "only cpu and memory resources are mutable"),
    ],
)
def test_what_a_resize_may_not_change_is_refused(
    ns: Namespaced, kinds: dict[str, Any], why: str
) -> None:
    ns.apply(a_sleeper(resources=SMALL))
    assert why in resize(ns, check=False, **kinds)


def test_what_a_node_can_never_give_is_infeasible_and_can_be_taken_back(ns: Namespaced) -> None:
    cgroups = running(ns, a_sleeper(resources=SMALL))
    resize(ns, requests={"cpu": "900"}, limits={"cpu": "900"})
    ns.cluster.until(lambda: state_of_resize(ns) == "Infeasible")
    assert cpu_limit_of(cgroups) == 20_000
    resize(ns, requests={"cpu": "100m"}, limits={"cpu": "200m"})
    ns.cluster.until(lambda: state_of_resize(ns) == "")


def test_what_a_node_cannot_give_now_is_deferred_until_others_have_gone(ns: Namespaced) -> None:
    cpus = int(ns.items("nodes")[0]["status"]["allocatable"]["cpu"])
    first = running(ns, a_sleeper(resources={"requests": {"cpu": "100m"}}))
    running(ns, a_sleeper("big", resources={"requests": {"cpu": f"{cpus * 1000 - 800}m"}}))
    resize(ns, requests={"cpu": "900m"})
    ns.cluster.until(lambda: state_of_resize(ns) == "Deferred")
    ns.kubectl("delete", "pod", "big", "--wait=false")
    ns.cluster.until(lambda: state_of_resize(ns) == "")
    assert first.read("cpu.shares", "cpu.weight") in ("921", "36")


def test_a_memory_limit_below_what_is_used_waits(ns: Namespaced) -> None:
    eat = "import time; x = bytearray(100 << 20); print(1, flush=True); time.sleep(999)"
    wanted = {"limits": {"memory": "160Mi"}, "requests": {"cpu": "10m"}}
    cgroups = running(ns, a_script("web", f'exec python3 -c "{eat}"', resources=wanted))
    ns.cluster.until(lambda: ns.out("logs", "web").strip() == "1")
    resize(ns, limits={"memory": "50Mi"}, requests={"memory": "50Mi"})
    ns.cluster.until(lambda: state_of_resize(ns) == "InProgress")
    assert memory_limit_of(cgroups) == 160 * MI
    assert shown(ns)["resources"]["limits"]["memory"] == "160Mi"
    resize(ns, limits={"memory": "150Mi"})
    ns.cluster.until(lambda: memory_limit_of(cgroups) == 150 * MI)
    assert shown(ns)["restartCount"] == 0


def test_a_kubelet_that_comes_back_goes_on_with_what_was_agreed(ns: Namespaced) -> None:
    cgroups = running(ns, a_sleeper(resources=SMALL))
    os.kill(next(pid for name, pid in ns.cluster.pids().items() if "kubelet" in name), 9)
    resize(ns, limits={"cpu": "400m"})
    ns.cluster.until(lambda: cpu_limit_of(cgroups, 1) == 40_000)
    assert cpu_limit_of(cgroups) == 40_000
    assert shown(ns)["restartCount"] == 0
