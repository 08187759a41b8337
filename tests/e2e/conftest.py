"""Fixtures of the whole-cluster tests: one cluster for the session, one namespace for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.browser import Page, chromium
from tests.support.cluster import Cluster, running_cluster
from tests.support.namespaced import Namespaced

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that all tests of a session share; purged at the end."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def ns(cluster: Cluster) -> Iterator[Namespaced]:
    """A fresh namespace with kubectl bound to it; deleted after the test."""
    name = f"t{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    yield Namespaced(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def browser(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that has logged in by a one-time link, for all tests of the page."""
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        page.login(cluster)
        page.until(lambda: page.text("#connection") == "live")
        yield page
