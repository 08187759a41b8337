"""A scheduler's record as text."""

from __future__ import annotations

from podium.cli.scheduling import decision_of, scheduling

PLACED = {
    "at": "2026-11-26T00:00:00.000000Z",
    "nodes": 3,
    "result": "Bound",
    "node": "node-1",
    "scores": [
        {"node": "node-1", "total": 587.1, "parts": {"TaintToleration": 300, "ImageLocality": 0}},
        {"node": "node-3", "total": 500, "parts": {"TaintToleration": 300}},
    ],
    "rejected": [
        {
            "filter": "NodeResourcesFit",
            "reason": "Insufficient cpu",
            "count": 1,
            "nodes": [{"name": "node-2", "why": ["cpu: asks 500m, 300m of 2 free"]}],
        }
    ],
    "fits": [{"node": "node-2", "with": ["cpu ≤ 300m"]}],
}


def test_a_placed_pod_is_told_with_the_others_numbers_and_scores() -> None:
    assert list(scheduling(PLACED)) == [
        "node-1: best of 2 that would do, out of 3 nodes",
        "Not on:",
        "  1 node: NodeResourcesFit: Insufficient cpu",
        "    node-2: cpu: asks 500m, 300m of 2 free",
        "Would fit node-2 with cpu ≤ 300m",
        "Scores:",
        "  Node     Score   TaintToleration   ImageLocality",
        "  node-1   587.1   300               0",
        "  node-3   500     300               0",
    ]


def test_what_somebody_else_has_written_there_harms_nothing() -> None:
    pod = {"metadata": {"annotations": {"scheduler.podium.dev/decision": "{"}}}
    assert decision_of(pod) is None
    assert list(scheduling({"nodes": []})) == [
        "the record on this Pod is not one of the scheduler's"
    ]
