"""Room podium/testing: `def test_x(podium_cluster): …` gives a real cluster, one for each session.

pytest loads this module whenever Podium is installed: it imports nothing but pytest until a test
asks for a cluster.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from podium.testing.cluster import PodiumCluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def podium_cluster() -> Iterator[PodiumCluster]:
    """A Kubernetes cluster of this session's own: `.kubeconfig`, `.apply`, `.wait_for`, `.kubectl`.

    Real containers where there is root; with PODIUM_FAKE_NODES=n, API and controllers with n
    simulated nodes. It is gone when the session ends, however it ends.
    """
    from podium.testing.start import CannotStart, running_cluster

    try:
        running = running_cluster()
        cluster = running.__enter__()
    except CannotStart as error:
        pytest.fail(f"podium_cluster: {error}", pytrace=False)
    try:
        yield cluster
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def podium_namespace(podium_cluster: PodiumCluster) -> Iterator[PodiumCluster]:
    """The same cluster in a namespace of the test's own, which goes when the test ends."""
    name = f"test-{next(_numbers)}"
    with podium_cluster.namespaced(name) as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """What happens from here on belongs to this test."""
    cluster = _cluster_of(item)
    if cluster is not None:
        cluster.mark()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the cluster did while a test failed."""
    report = yield
    cluster = _cluster_of(item)
    if cluster is not None and report.when == "call" and report.failed:
        from podium.testing.report import sections

        report.sections.extend(sections(cluster))
    return report


def _cluster_of(item: pytest.Item) -> PodiumCluster | None:
    """The narrowest one that the test has; None if it has none."""
    found = getattr(item, "funcargs", {})
    cluster: PodiumCluster | None = found.get("podium_namespace") or found.get("podium_cluster")
    return cluster
