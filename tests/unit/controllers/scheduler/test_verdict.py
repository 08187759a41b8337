"""The words that `kubectl describe pod` shows."""

from __future__ import annotations

from controllers.scheduler import verdict


def test_reasons_are_counted_and_sorted() -> None:
    tainted = "node(s) had untolerated taint {gpu: yes}"
    assert verdict.none_available(3, [tainted, "Insufficient cpu", tainted]) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}."
    )


def test_what_came_of_preemption_follows() -> None:
    preemption = verdict.none_available(1, [verdict.NO_VICTIMS])
    assert verdict.none_available(1, ["Insufficient memory"], preemption) == (
        "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: "
        "1 No preemption victims found for incoming pod."
    )
