"""What is taken is kept up with each change and never counted anew: the sums must stay right."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler.cluster import Cluster
from controllers.scheduler.filters import first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]
NODES = ("a", "b", "c")


def test_an_assumed_pod_counts_at_once_and_no_more_when_forgotten() -> None:
    cluster, pod = a_cluster("a"), PodInfo.of(a_pod(cpu="2"))
    cluster.assume(pod, "a")
    assert used(cluster, "a") == 2000
    assert cluster.forget(pod.uid) == "a"
    assert used(cluster, "a") == 0


def test_a_pod_that_is_seen_bound_counts_once_and_cannot_be_forgotten() -> None:
    cluster, pod = a_cluster("a", "b"), PodInfo.of(a_pod(cpu="2"))
    cluster.assume(pod, "a")
    cluster.place(pod, "a")
    assert cluster.forget(pod.uid) is None
    assert used(cluster, "a") == 2000


def test_a_pod_bound_elsewhere_by_somebody_else_moves() -> None:
    cluster, pod = a_cluster("a", "b"), PodInfo.of(a_pod(cpu="2"))
    cluster.assume(pod, "a")
    cluster.place(pod, "b")
    assert (used(cluster, "a"), used(cluster, "b")) == (0, 2000)


def test_pods_of_a_node_that_is_not_there_are_counted_when_it_comes() -> None:
    cluster = Cluster()
    cluster.place(PodInfo.of(a_pod(cpu="2")), "late")
    assert cluster.nodes() == []
    cluster.put_node(a_node("late"))
    assert used(cluster, "late") == 2000


def test_a_node_that_goes_keeps_its_pods_for_when_it_comes_back() -> None:
    cluster = a_cluster("a")
    cluster.place(PodInfo.of(a_pod(cpu="2")), "a")
    cluster.remove_node("a")
    assert cluster.node("a") is None
    cluster.put_node(a_node("a"))
    assert used(cluster, "a") == 2000


def test_room_that_is_made_for_a_pod_is_not_given_to_a_lesser_one() -> None:
    cluster = a_cluster("a")
    important = PodInfo.of(a_pod("important", cpu="3", priority=10))
    cluster.nominate(important, "a")
    node = cluster.node("a")
    assert node is not None
    lesser, greater = (PodInfo.of(a_pod("x", cpu="2", priority=p)) for p in (0, 11))
    assert first_rejection(lesser, cluster.seen_by(lesser, node)) is not None
    assert first_rejection(greater, cluster.seen_by(greater, node)) is None
    assert first_rejection(important, cluster.seen_by(important, node)) is None


STEPS = st.tuples(
    st.sampled_from(["assume", "place", "forget", "remove", "put_node", "remove_node"]),
    st.integers(0, 5),
    st.sampled_from(NODES),
)


@given(st.lists(STEPS, max_size=60))
def test_sums_are_those_of_the_pods_that_are_there(steps: list[tuple[str, int, str]]) -> None:
    pods = [PodInfo.of(with_port(f"p{i}", f"{100 * i + 50}m", i % 2)) for i in range(6)]
    cluster = a_cluster(*NODES)
    for step, number, name in steps:
        pod = pods[number]
        match step:
            case "assume" | "place":
                getattr(cluster, step)(pod, name)
            case "forget" | "remove":
                getattr(cluster, step)(pod.uid)
            case "put_node":
                cluster.put_node(a_node(name))
            case "remove_node":
                cluster.remove_node(name)
    for node in cluster.nodes():
        anew = NodeInfo.of(a_node(node.name), node.pods.values())
        assert +node.used == +anew.used
        assert node._ports == anew._ports
        assert node.scored_cpu_millicores == anew.scored_cpu_millicores
        assert node.scored_memory_bytes == anew.scored_memory_bytes
    assert len({uid for n in cluster.nodes() for uid in n.pods}) == sum(
        len(n.pods) for n in cluster.nodes()
    )


def a_cluster(*names: str) -> Cluster:
    cluster = Cluster()
    for name in names:
        cluster.put_node(a_node(name))
    return cluster


def used(cluster: Cluster, name: str) -> int:
    node = cluster.node(name)
    assert node is not None
    return node.used["cpu"]


def with_port(name: str, cpu: str, port: int) -> Object:
    pod = a_pod(name, cpu=cpu)
    pod["spec"]["containers"][0]["ports"] = [{"hostPort": 8000 + port}]
    return pod
