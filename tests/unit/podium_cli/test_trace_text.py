"""A trace and a start-up budget as text that fits a terminal."""

from __future__ import annotations

from typing import Any

from podium.api.otlp import to_otlp
from podium.cli.budget_text import budget_lines
from podium.cli.trace_text import lines


def a_span(number: int, depth: int, kind: str, name: str, **other: Any) -> dict[str, Any]:
    return {
        "spanId": f"{number:016x}", "parentId": f"{number - 1:016x}" if depth else "",
        "depth": depth, "kind": kind, "name": name, "key": "", "isFinished": True,
        "began": "2026-11-26T00:42:36.125442Z", "startMs": float(number), "durationMs": 2.0,
        "attributes": {}, "reactedTo": [], "links": [], **other,
    }  # fmt: skip


def a_trace(pods: int = 1, **other: Any) -> dict[str, Any]:
    pod = {"name": "web-b74c746c-" + "x" * 30, "createdMs": 3.0, "readyMs": 1234.5, "node": "n",
           "phases": [{"name": "sandbox", "startMs": 1.0, "durationMs": 12.3}],
           "processes": [{"pid": 77, "container": "main"}]}  # fmt: skip
    obj = {"resource": "pods", "namespace": "default", "name": "web-1", "uid": "u"}
    spans = [
        a_span(1, 0, "change", "create deployments.apps default/web"),
        a_span(2, 1, "reconcile", "replicaset", attributes={"queueUs": 1500}),
        a_span(3, 2, "change", "create pods default/web-1", object=obj, verb="create"),
        a_span(4, 3, "phase", "sandbox"),
        a_span(5, 4, "process", "process", attributes={"pid": 77, "container": "main"}),
        a_span(6, 1, "change", "change deployments/status.apps default/web", parentId="1" * 16),
        a_span(7, 1, "change", "create events default/x", object=obj | {"resource": "events"}),
    ]
    return {
        "object": {"resource": "deployments.apps", "namespace": "default", "name": "web"},
        "isDeleted": False, "traceId": "ab" * 16, "revision": 25, "by": "admin",
        "manager": "kubectl", "began": "now",
        "durationMs": 8.0, "orphans": 0, "unfinished": 0, "droppedSpans": 0, "spans": spans,
        "pods": [pod] * pods, "otherChanges": [], **other,
    }  # fmt: skip


def test_with_few_pods_the_tree_goes_down_to_each_process() -> None:
    text = "\n".join(lines(a_trace()))
    assert "[replicaset] queue 1.5" in text
    assert "process 77 of container main" in text
    assert "Folded: 1 changes that led to no process, 1 events." in text


def test_with_many_pods_their_steps_are_in_a_table() -> None:
    text = list(lines(a_trace(pods=50)))
    assert not any("process 77 of" in line for line in text)
    assert sum(line.endswith("  77") for line in text) == 50
    assert any("1 Pods' steps" in line for line in text)


def test_nothing_is_folded_when_all_is_asked_for() -> None:
    text = "\n".join(lines(a_trace(pods=50), show_all=True))
    assert "create events" in text
    assert "Folded" not in text


def test_no_line_is_wider_than_a_hundred_columns() -> None:
    long = a_span(8, 30, "phase", "x" * 300, attributes={"outcome": "y" * 300})
    trace = a_trace(pods=50, unfinished=3, orphans=2, droppedSpans=1)
    trace["spans"].append(long)
    assert max(len(line) for line in lines(trace, show_all=True)) <= 100


def test_a_budget_tells_each_phase_and_the_sum() -> None:
    budget = {
        "readyMs": 100.0, "countedMs": 90.0, "leftOutMs": 10.0, "objectiveMs": 5000.0,
        "isWithinObjective": True, "restMs": 5.0,
        "phases": [{"name": "scheduled", "startMs": 0.0, "durationMs": 50.0},
                   {"name": "image", "container": "main", "startMs": 50.0, "durationMs": 10.0}],
    }  # fmt: skip
    text = "\n".join(budget_lines(budget))
    assert "image main" in text
    assert "Ready after 100.0 ms; 90.0 ms without images: within Kubernetes' 5 s (1.8%)" in text


def test_otlp_has_ids_times_and_attributes() -> None:
    made = to_otlp(a_trace()["spans"], "ab" * 16)
    (resource,) = made["resourceSpans"]
    spans = resource["scopeSpans"][0]["spans"]
    assert {span["traceId"] for span in spans} == {"ab" * 16}
    assert spans[0]["startTimeUnixNano"] == "1795653756125442000"
    assert {"key": "process.pid", "value": {"intValue": "77"}} in spans[4]["attributes"]


def test_beside_an_object_stand_the_others_of_its_apply() -> None:
    def wrote(number: int) -> dict[str, Any]:
        about = {"resource": "configmaps", "namespace": "default", "name": f"c{number}"}
        return a_span(number, 1, "change", f"create configmaps default/c{number}", object=about)

    answer = a_trace(pods=0)
    last = wrote(30)
    answer |= {"object": last["object"],
               "spans": [a_span(1, 0, "command", "podium-apply"),
                         *(wrote(number) for number in range(10, 30)), last]}  # fmt: skip
    text = "\n".join(lines(answer))
    assert "  podium apply\n" in text
    assert ("create configmaps default/c10" in text, "default/c25" in text) == (True, False)
    assert "create configmaps default/c30" in text
    assert "Folded: 10 changes that led to no process." in text
