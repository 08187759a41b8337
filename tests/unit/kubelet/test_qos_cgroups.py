"""The cgroups above the Pods'."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.configuration import KubeletConfiguration
from kubelet.hardware import Hardware
from kubelet.qos_cgroups import QosCgroups
from tests.support.fake_runtime import FakeCgroups
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

GI = 1 << 30
MACHINE = Hardware(8 * GI, GI, frozenset(range(4)))


@pytest.fixture
def cgroups() -> FakeCgroups:
    return FakeCgroups()


def qos_of(cgroups: FakeCgroups, **settings: Any) -> QosCgroups:
    found = QosCgroups(cgroups, MACHINE, KubeletConfiguration(**settings))  # type: ignore[arg-type]
    found.start()
    return found


def a_pod(name: str, **kinds: dict[str, str]) -> dict[str, Any]:
    return a_kubelet_pod(a_container(resources=kinds), name=name)


def test_pods_may_have_together_what_is_not_reserved(cgroups: FakeCgroups) -> None:
    qos_of(cgroups, kube_reserved={"cpu": "500m"}, system_reserved={"memory": "1Gi"})
    found = cgroups.values["kubepods"]
    assert (found.cpu_shares, found.memory_bytes, found.swap_bytes) == (3584, 7 * GI, GI)


def test_without_enforcement_pods_have_only_their_shares(cgroups: FakeCgroups) -> None:
    qos_of(cgroups, enforce_node_allocatable=())
    assert cgroups.values["kubepods"].memory_bytes is None


def test_burstable_pods_share_what_they_request_together(cgroups: FakeCgroups) -> None:
    qos = qos_of(cgroups)
    assert cgroups.values["kubepods/besteffort"].cpu_shares == 2
    one, two = (a_pod(name, requests={"cpu": "500m", "memory": "1Gi"}) for name in ("one", "two"))
    qos.admitted(one)
    qos.admitted(two)
    qos.admitted(two)
    assert cgroups.values["kubepods/burstable"].cpu_shares == 1024
    assert cgroups.protected_bytes == dict.fromkeys(("", "kubepods", "kubepods/burstable"), 2 * GI)
    qos.released(one["metadata"]["uid"])
    assert cgroups.values["kubepods/burstable"].cpu_shares == 512


def test_guaranteed_pods_are_kept_out_of_the_shares_and_their_memory_is_kept_back(
    cgroups: FakeCgroups,
) -> None:
    qos_of(cgroups).admitted(a_pod("g", limits={"cpu": "1", "memory": "1Gi"}))
    assert cgroups.values["kubepods/burstable"].cpu_shares == 2
    assert cgroups.protected_bytes == {"kubepods": GI, "": GI}
