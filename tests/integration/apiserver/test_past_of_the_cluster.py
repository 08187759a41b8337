"""/podium/v1: diff, history, timeline and picture of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.apiserver.plain_http import (
    Api,
    a_config_map,
    a_new_deployment,
    a_new_pod,
    apps,
)


@pytest.fixture
def name(ns: str) -> str:
    """Of the namespace."""
    return ns.rpartition("/")[2]


def rv(answer: Any) -> int:
    return int(answer.json["metadata"]["resourceVersion"])


def test_a_difference_names_what_was_added_changed_replaced_and_deleted(
    api: Api, ns: str, name: str
) -> None:
    for one in ("changed", "deleted", "replaced", "same", "back"):
        api.post(f"{ns}/configmaps", a_config_map(one, value="1"))
    start = api.revision()
    api.patch(f"{ns}/configmaps/changed", {"data": {"value": "2"}})
    for one in ("deleted", "replaced"):
        api.delete(f"{ns}/configmaps/{one}")
    for one in ("replaced", "added", "passing"):
        api.post(f"{ns}/configmaps", a_config_map(one, value="1"))
    api.delete(f"{ns}/configmaps/passing")
    for value in ("9", "1"):
        api.patch(f"{ns}/configmaps/back", {"data": {"value": value}})
    found = api.get(f"/podium/v1/diff?from={start}&namespace={name}").json
    assert found["summary"] == {"added": 1, "changed": 1, "replaced": 1, "deleted": 1}
    assert {i["name"]: i["type"] for i in found["items"]} == {
        one: one for one in ("added", "changed", "deleted", "replaced")
    }
    changed = next(i for i in found["items"] if i["name"] == "changed")
    assert '-  value: "1"\n+  value: "2"\n' in changed["diff"]
    assert "resourceVersion" not in changed["diff"]


def test_a_secrets_values_are_hidden_as_kubectl_diff_hides_them(
    api: Api, ns: str, name: str
) -> None:
    secret = a_config_map("s") | {"kind": "Secret", "data": {"same": "c2FtZQ==", "new": "b25l"}}
    api.post(f"{ns}/secrets", secret)
    start = api.revision()
    api.patch(f"{ns}/secrets/s", {"data": {"new": "dHdv"}})
    (item,) = api.get(f"/podium/v1/diff?from={start}&namespace={name}").json["items"]
    assert "-  new: '*** (before)'\n+  new: '*** (after)'" in item["diff"].replace('"', "'")
    life = api.get(f"/podium/v1/history/secrets/{name}/s?diffs=true").json["items"]
    assert life[0]["changed"] == ["data.new"]
    for text in (item["diff"], life[0]["diff"], life[1]["diff"]):
        assert not any(value in text for value in ("b25l", "dHdv", "c2FtZQ"))


def test_a_difference_is_narrowed_to_a_kind_and_a_name(api: Api, ns: str, name: str) -> None:
    start = api.revision()
    api.post(f"{ns}/configmaps", a_config_map("a"))
    api.post(f"{ns}/configmaps", a_config_map("b"))
    api.post(f"{ns}/secrets", a_config_map("a") | {"kind": "Secret"})
    path = f"/podium/v1/diff?from={start}&namespace={name}"
    found = api.get(f"{path}&resource=cm").json
    assert [i["name"] for i in found["items"]] == ["a", "b"]
    assert len(api.get(f"{path}&resource=cm&name=a").json["items"]) == 1
    cut = api.get(f"{path}&size=1").json
    assert (len(cut["items"]), cut["more"]) == (1, 2)


def test_the_history_of_an_object_goes_on_after_its_end(api: Api, ns: str, name: str) -> None:
    made = api.post(f"{apps(ns)}/deployments", a_new_deployment())
    api.patch(f"{apps(ns)}/deployments/web", {"spec": {"replicas": 5}})
    api.delete(f"{apps(ns)}/deployments/web")
    found = api.get(f"/podium/v1/history/deployments.apps/{name}/web?diffs=true").json
    types = [item["type"] for item in found["items"]]
    assert types == ["DELETED", "MODIFIED", "ADDED"]
    scaled = found["items"][1]
    assert scaled["changed"] == ["spec.replicas"]
    assert "+  replicas: 5\n" in scaled["diff"]
    assert (scaled["by"], scaled["uid"]) == ("kubernetes-admin", made.json["metadata"]["uid"])
    times = [datetime.fromisoformat(item["time"]) for item in found["items"]]
    assert times == sorted(times, reverse=True)
    missing = api.get(f"/podium/v1/history/pods/{name}/never")
    assert (missing.code, missing.message) == (404, 'pods "never" not found')


def test_a_time_is_exact_to_the_change(api: Api, ns: str, name: str) -> None:
    for number in range(8):
        api.post(f"{ns}/configmaps", a_config_map(f"c{number}"))
    path = f"/podium/v1/timeline?resource=configmaps&namespace={name}"
    ticks = api.get(path).json["items"]
    assert [t["name"] for t in ticks][-8:] == [f"c{number}" for number in range(8)]
    for tick in ticks[-8:]:
        time = datetime.fromisoformat(tick["time"])
        found = api.get(f"/podium/v1/revision?at={_text(time)}").json
        before = api.get(f"/podium/v1/revision?at={_text(time - timedelta(microseconds=1))}").json
        assert found["revision"] == tick["revision"]
        assert before["revision"] < tick["revision"]
    listed = api.get(f"{ns}/configmaps?atRevision={_text(time)}").names
    assert "c7" in listed


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_long_timeline_is_drawn_coarsely_and_counts_all(api: Api, ns: str, name: str) -> None:
    start = api.revision()
    for number in range(60):
        kind = "Secret" if number % 3 else "ConfigMap"
        api.post(f"{ns}/{kind.lower()}s", a_config_map(f"c{number}") | {"kind": kind})
    path = f"/podium/v1/timeline?from={start}&namespace={name}"
    whole = api.get(path).json
    assert (whole["total"], len(whole["items"])) == (60, 60)
    coarse = api.get(f"{path}&size=10").json
    assert len(coarse["items"]) <= 12
    assert sum(item["count"] for item in coarse["items"]) == coarse["total"] == 60
    revisions = [item["revision"] for item in coarse["items"]]
    assert revisions == sorted(revisions)


def test_the_picture_shows_nodes_pods_and_owners_of_a_moment(api: Api, ns: str, name: str) -> None:
    made = api.post(f"{apps(ns)}/deployments", a_new_deployment())
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": True,
             "uid": made.json["metadata"]["uid"]}  # fmt: skip
    pod = a_new_pod(nodeName="node-9")
    pod["metadata"]["ownerReferences"] = [owner]
    then = rv(api.post(f"{ns}/pods", pod))
    api.delete(f"{ns}/pods/web")
    found = api.get(f"/podium/v1/cluster?at={then}").json
    (shown,) = [p for p in found["pods"] if p["namespace"] == name]
    assert (shown["node"], shown["status"], shown["ready"]) == ("node-9", "Pending", "0/1")
    assert (shown["owner"], shown["revision"]) == (owner["uid"], then)
    (owner_shown,) = [o for o in found["owners"] if o["namespace"] == name]
    assert (owner_shown["desired"], owner_shown["kind"]) == (2, "Deployment")
    assert found["at"]["revision"] == then <= found["current"]["revision"]


def test_bad_questions_are_refused(api: Api) -> None:
    for path, code, words in (
        ("diff", 400, "from: Required value"),
        ("diff?from=5&to=2", 400, "must not be later than 2"),
        ("diff?from=1&resource=cars", 400, 'resource type "cars"'),
        ("diff?from=1&name=web", 400, "only allowed with a resource"),
        ("diff?from=9999999", 504, "Too large resource version"),
        ("timeline?size=0", 400, "must be between 1 and 5000"),
        ("cluster?at=soon", 400, "at: Invalid value"),
        ("history/cars/-/x", 404, "could not find the requested resource"),
    ):
        refused = api.get(f"/podium/v1/{path}")
        assert refused.code == code, path
        assert words in refused.message


def test_who_may_not_list_may_not_ask(api: Api, ns: str, name: str) -> None:
    start = api.revision()
    api.post(f"{ns}/secrets", a_config_map("s") | {"kind": "Secret"})
    with Api(api.server, "scheduler") as scheduler:
        path = f"/podium/v1/diff?from={start}&namespace={name}"
        assert scheduler.get(f"{path}&resource=secrets").code == 403
        assert scheduler.get(path).json["items"] == []
        assert scheduler.get(f"/podium/v1/history/secrets/{name}/s").code == 403
    with Api(api.server, "node-node-1") as node:
        for path in ("cluster", "timeline", "revision", f"history/pods/{name}/x"):
            assert node.get(f"/podium/v1/{path}").code == 403
