"""What the store keeps of each change's cause, and who is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.apiserver.plain_http import Answer, Api, a_new_pod
from tests.support.api_server import ApiServerProcess

TRACE, SPAN = "ab" * 16, "cd" * 8
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "podium=replicaset/1700/812.809"}


def post(api: Api, path: str, body: Any, headers: dict[str, str]) -> Answer:
    return api.call("POST", path, body, **headers)


def listed_causes(api: Api, path: str) -> dict[str, Any]:
    answer = api.get(path, podium_causes="true").json
    causes: dict[str, Any] = answer["causes"]
    return causes


def test_a_write_joins_the_trace_that_its_request_names(api: Api, ns: str) -> None:
    made = post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT).json
    causes = listed_causes(api, f"{ns}/pods")
    assert causes[made["metadata"]["resourceVersion"]]["traceparent"].startswith(f"00-{TRACE}-")


def test_a_write_that_names_none_begins_a_trace(api: Api, ns: str) -> None:
    for name in ("one", "two"):
        assert api.post(f"{ns}/pods", a_new_pod(name=name)).code == 201
    causes = listed_causes(api, f"{ns}/pods")
    assert len({cause["traceparent"].split("-")[1] for cause in causes.values()}) == 2


def test_a_traceparent_that_cannot_be_read_begins_a_trace(api: Api, ns: str) -> None:
    for number, parent in enumerate(("00-xyz", f"00-{'0' * 32}-{SPAN}-01", "'; drop table cause")):
        pod = a_new_pod(name=f"web-{number}")
        assert post(api, f"{ns}/pods", pod, {"traceparent": parent}).code == 201
    assert len(listed_causes(api, f"{ns}/pods")) == 3


def test_a_list_tells_the_last_change_of_the_spec_beside_that_of_the_status(
    api: Api, ns: str
) -> None:
    made = post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT).json
    for phase in ("Running", "Succeeded"):
        patched = api.patch(f"{ns}/pods/web/status", {"status": {"phase": phase}}).json
    cause = listed_causes(api, f"{ns}/pods")[patched["metadata"]["resourceVersion"]]
    assert cause["of"] == "status"
    assert cause["spec"]["rv"] == int(made["metadata"]["resourceVersion"])
    assert cause["spec"]["traceparent"].startswith(f"00-{TRACE}-")


def test_who_does_not_ask_is_told_of_no_causes(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod(name="web"))
    assert "causes" not in api.get(f"{ns}/pods").json


def test_a_watch_hands_the_cause_on_beside_the_object(api: Api, ns: str) -> None:
    with api.watch(f"{ns}/pods", f"resourceVersion={api.revision()}", podium_causes="true") as told:
        post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT)
        event = told.next_event()
    assert event["cause"]["traceparent"].startswith(f"00-{TRACE}-")
    assert event["cause"]["of"] == ""


def test_a_watch_that_starts_in_the_past_is_told_causes_from_the_log(api: Api, ns: str) -> None:
    before = api.revision()
    post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT)
    with api.watch(f"{ns}/pods", f"resourceVersion={before}", podium_causes="true") as told:
        assert TRACE in told.next_event()["cause"]["traceparent"]


def test_an_ordinary_watch_gets_its_frames_as_ever(api: Api, ns: str) -> None:
    with api.watch(f"{ns}/pods", f"resourceVersion={api.revision()}") as told:
        post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT)
        assert sorted(told.next_event()) == ["object", "type"]


def a_span(**other: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": SPAN, "parentId": "", "kind": "reconcile", "name": "x",
            "key": "default/web", "beganUs": 1, "endedUs": 2, **other}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, 'the batch has no "spans"'),
        ({"spans": [{}]}, "a span's kind is one of"),
        ({"spans": [a_span(traceId="nonsense")]}, "no traceId of W3C Trace Context"),
        ({"spans": [a_span(endedUs="now")]}, "are microseconds"),
        ({"spans": [a_span(attributes={"x": "y" * 5000})]}, "at most 4096 bytes"),
        ({"spans": [a_span()] * 1001}, "at most 1000 spans"),
    ],
)
def test_spans_that_cannot_be_read_are_refused(api: Api, body: Any, why: str) -> None:
    answer = api.post("/podium/v1/spans", body)
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert why in answer.message


def test_spans_are_taken_from_components_only(server: ApiServerProcess, api: Api) -> None:
    assert api.post("/podium/v1/spans", {"spans": [a_span()]}).json == {"taken": 1}
    with Api(server, None) as nobody:
        assert nobody.post("/podium/v1/spans", {"spans": []}).code == 401


def test_a_writer_with_a_long_or_unprintable_name_harms_nothing(api: Api, ns: str) -> None:
    path = f"{ns}/pods?fieldManager=%00{'x' * 120}%0A"
    made = api.post(path, a_new_pod(name="web"))
    assert made.code == 201
    namespace = ns.rpartition("/")[2]
    assert api.get(f"/podium/v1/trace/pods/{namespace}/web").json["manager"] == "x" * 120


def test_the_trace_of_what_is_not_there_is_refused_in_kubernetes_words(api: Api, ns: str) -> None:
    namespace = ns.rpartition("/")[2]
    for path, message in (
        (f"trace/pods/{namespace}/gone", 'pods "gone" not found'),
        (f"budget/pods/{namespace}/gone", 'pods "gone" not found'),
        ("trace/nonsense/-/x", "could not find the requested resource"),
    ):
        answer = api.get(f"/podium/v1/{path}")
        assert answer.code == 404
        assert message in answer.message


def test_who_may_not_get_an_object_may_not_see_its_trace(
    server: ApiServerProcess, api: Api, ns: str
) -> None:
    api.post(f"{ns}/pods", a_new_pod(name="web"))
    namespace = ns.rpartition("/")[2]
    with Api(server, "node-node-1") as node:
        assert node.get(f"/podium/v1/trace/pods/{namespace}/web").code == 403
        assert node.get("/podium/v1/spans").code == 403


def test_a_node_sees_of_a_trace_only_its_own_pods(
    server: ApiServerProcess, api: Api, ns: str
) -> None:
    apply = {"traceparent": f"00-{'03' * 16}-{SPAN}-01", "tracestate": "podium=podium-apply/1700/"}
    for name in ("own", "another-nodes", "gone"):
        post(api, f"{ns}/pods", a_new_pod(name=name), apply)
    for name, node in (("own", "node-1"), ("another-nodes", "node-2")):
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        assert api.post(f"{ns}/pods/{name}/binding", binding).code == 201
    api.delete(f"{ns}/pods/gone?gracePeriodSeconds=0")
    path = f"/podium/v1/trace/pods/{ns.rpartition('/')[2]}/own"

    def told(found: Answer) -> list[str]:
        return [one["object"]["name"] for one in found.json["spans"] if one.get("object")]

    assert told(api.get(path)) == ["own", "another-nodes", "gone"]
    with Api(server, "node-node-1") as node:
        assert told(node.get(path)) == ["own"]


def test_the_trace_of_what_is_gone_is_found_again_by_its_name(api: Api, ns: str) -> None:
    namespace = ns.rpartition("/")[2]
    path = f"/podium/v1/trace/configmaps/{namespace}/web"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}
    for trace_id in ("01" * 16, "02" * 16):
        parent = {"traceparent": f"00-{trace_id}-{SPAN}-01"}
        made = post(api, f"{ns}/configmaps", config, parent).json["metadata"]
        api.delete(f"{ns}/configmaps/web")
    found = api.get(path).json
    assert (found["isDeleted"], found["object"]["uid"]) == (True, made["uid"])
    assert [span["verb"] for span in found["spans"]] == ["delete"]
    ((revision, trace_id),) = [(o["revision"], o["traceId"]) for o in found["otherChanges"]]
    assert (revision, trace_id) == (int(made["resourceVersion"]), "02" * 16)
    post(api, f"{ns}/configmaps", config, {})
    assert api.get(path).json["isDeleted"] is False


def test_a_pod_that_is_gone_has_the_trace_of_its_creation(api: Api, ns: str) -> None:
    post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT)
    api.patch(f"{ns}/pods/web/status", {"status": {"phase": "Running"}})
    api.delete(f"{ns}/pods/web?gracePeriodSeconds=0")
    namespace = ns.rpartition("/")[2]
    found = api.get(f"/podium/v1/trace/pods/{namespace}/web").json
    assert (found["isDeleted"], found["traceId"]) == (True, TRACE)
    assert [pod["name"] for pod in found["pods"]] == ["web"]


def test_who_may_not_get_an_object_may_not_see_the_trace_of_one_that_is_gone(
    server: ApiServerProcess, api: Api, ns: str
) -> None:
    post(api, f"{ns}/pods", a_new_pod(name="web"), PARENT)
    post(api, f"{ns}/configmaps", {"metadata": {"name": "web"}}, PARENT)
    api.delete(f"{ns}/pods/web?gracePeriodSeconds=0")
    api.delete(f"{ns}/configmaps/web")
    namespace = ns.rpartition("/")[2]
    with Api(server, "node-node-1") as node:
        answer = node.get(f"/podium/v1/trace/pods/{namespace}/web")
        assert (answer.code, answer.message) == (404, 'pods "web" not found')
        assert node.get(f"/podium/v1/trace/configmaps/{namespace}/web").code == 403
