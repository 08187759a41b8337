"""Which of the nodes that will do is best."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler import scores
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]
MIB = 1024 * 1024


def best(pod: Object, *nodes: NodeInfo) -> str:
    return scores.best(PodInfo.of(pod), nodes).name


def node(name: str, *there: Object, images: dict[str, int] | None = None, **more: Any) -> NodeInfo:
    described = a_node(name, **more)
    described["status"]["images"] = [
        {"names": [image], "sizeBytes": size} for image, size in (images or {}).items()
    ]
    return NodeInfo.of(described, map(PodInfo.of, there))


def test_the_emptier_node_is_better() -> None:
    assert best(a_pod(cpu="1"), node("a", a_pod("x", cpu="2")), node("b")) == "b"


def test_pods_that_ask_for_nothing_spread_too() -> None:
    assert best(a_pod(), node("a", a_pod("x")), node("b")) == "b"


def test_of_equal_nodes_the_one_with_fewer_pods_then_the_first_by_name_is_taken() -> None:
    assert best(a_pod(), node("b"), node("a")) == "a"
    empty = a_pod("x")
    empty["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "0", "memory": "0"}}
    assert best(a_pod(), node("a", empty), node("b")) == "b"


def test_cpu_and_memory_should_run_out_together() -> None:
    pod = PodInfo.of(a_pod(cpu="2"))
    memory_heavy = node("a", a_pod("x", memory="4Gi"), cpu="4", memory="8Gi")
    cpu_heavy = node("b", a_pod("y", cpu="2"), cpu="4", memory="8Gi")
    assert scores.balanced_allocation(pod, [memory_heavy, cpu_heavy]) == [100, 50]


def test_a_discouraging_taint_outweighs_an_emptier_node() -> None:
    taint = {"key": "old", "effect": "PreferNoSchedule"}
    assert best(a_pod(cpu="1"), node("a", taints=[taint]), node("b", a_pod("x", cpu="2"))) == "b"
    tolerating = a_pod(cpu="1", tolerations=[{"key": "old", "operator": "Exists"}])
    assert best(tolerating, node("a", taints=[taint]), node("b", a_pod("x", cpu="2"))) == "a"


def test_a_preferred_label_counts_by_its_weight() -> None:
    def prefers(weight: int, zone: str) -> Object:
        wanted = [{"key": "zone", "operator": "In", "values": [zone]}]
        return {"weight": weight, "preference": {"matchExpressions": wanted}}

    terms = [prefers(10, "x"), prefers(90, "y")]
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": terms}
    pod = a_pod(affinity={"nodeAffinity": preferred})
    assert best(pod, node("a", labels={"zone": "x"}), node("b", labels={"zone": "y"})) == "b"


def test_a_node_that_has_the_image_is_better_the_more_there_is_of_it() -> None:
    pod = PodInfo.of(a_pod(image="web"))
    nodes = [
        node("none"),
        node("small", images={"web:latest": 10 * MIB}),
        node("large", images={"web:latest": 3000 * MIB}),
    ]
    assert scores.image_locality(pod, nodes) == [0, 0, 100]


def test_an_image_name_without_a_tag_means_latest() -> None:
    assert scores.with_tag("nginx") == "nginx:latest"
    assert scores.with_tag("registry:5000/nginx") == "registry:5000/nginx:latest"
    assert scores.with_tag("nginx:1.27") == "nginx:1.27"


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=6), st.integers(0, 3000))
def test_every_score_is_from_0_to_100(taken: list[int], wanted: int) -> None:
    pod = PodInfo.of(a_pod("new", cpu=f"{wanted}m"))
    nodes = [node(f"n{i}", a_pod("x", cpu=f"{m}m"), cpu="4") for i, m in enumerate(taken)]
    for _, score, _ in scores.SCORES:
        found = score(pod, nodes)
        assert len(found) == len(nodes)
        assert all(0 <= value <= 100 for value in found)


@given(st.permutations(["a", "b", "c"]), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_the_order_of_the_nodes_does_not_matter(names: list[str], counts: list[int]) -> None:
    size = dict(zip(sorted(names), counts, strict=True))
    nodes = [node(n, *(a_pod(f"{n}{i}", cpu="1") for i in range(size[n]))) for n in names]
    by_name = sorted(nodes, key=lambda one: one.name)
    assert best(a_pod(cpu="1"), *nodes) == best(a_pod(cpu="1"), *by_name)
