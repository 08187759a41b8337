"""A network namespace that stands in for the node, so that nothing of the machine is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.network import PodNetwork
from tests.node.network.netns import Netns


@pytest.fixture
def node() -> Iterator[Netns]:
    """The test's thread is in it; threads started by the test are as well."""
    home, node = Netns.current(), Netns.fresh()
    node.enter()
    try:
        yield node
    finally:
        home.enter()
        node.close()
        home.close()


@pytest.fixture
def network(node: Netns, tmp_path: Path) -> PodNetwork:
    made = a_network(tmp_path)
    made.ensure_bridge()
    return made


@pytest.fixture
def pods(node: Netns) -> Iterator[list[Netns]]:
    """Three namespaces without anything in them, as a sandbox has them at first."""
    made = [Netns.fresh() for _ in range(3)]
    node.enter()
    yield made
    for netns in made:
        netns.close()


def a_network(
    tmp_path: Path, cluster_id: str = "a1b2c3", subnet: str = "10.244.0.0/24"
) -> PodNetwork:
    return PodNetwork(f"podium-{cluster_id}", subnet, cluster_id, str(tmp_path / cluster_id))
