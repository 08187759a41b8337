"""?atRevision=: every kind as it was, by revision and by time, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.integration.apiserver.plain_http import Api, a_config_map, a_new_deployment, a_new_pod
from tests.integration.apiserver.plain_http import apps as apps_of

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def maps(ns: str) -> str:
    return f"{ns}/configmaps"


@pytest.fixture
def name(ns: str) -> str:
    """Of the namespace."""
    return ns.rpartition("/")[2]


def test_an_object_is_as_it_was(api: Api, maps: str) -> None:
    first = api.post(maps, a_config_map(value="1")).json["metadata"]["resourceVersion"]
    second = api.patch(f"{maps}/cm", {"data": {"value": "2"}}).json["metadata"]["resourceVersion"]
    api.delete(f"{maps}/cm")
    assert api.get(f"{maps}/cm").code == 404
    assert api.get(f"{maps}/cm?atRevision={first}").json["data"] == {"value": "1"}
    past = api.get(f"{maps}/cm?atRevision={second}").json
    assert (past["data"], past["metadata"]["resourceVersion"]) == ({"value": "2"}, second)
    before = api.get(f"{maps}/cm?atRevision={int(first) - 1}")
    assert (before.code, before.message) == (404, 'configmaps "cm" not found')


def test_a_list_has_what_was_deleted_since(api: Api, maps: str) -> None:
    for number in range(5):
        api.post(maps, a_config_map(f"c{number}", {"odd": str(number % 2)}))
    then = api.revision()
    for number in range(5):
        api.delete(f"{maps}/c{number}")
    api.post(maps, a_config_map("c9", {"odd": "1"}))
    past = api.get(f"{maps}?atRevision={then}")
    assert past.names == ["c0", "c1", "c2", "c3", "c4"]
    assert past.json["metadata"]["resourceVersion"] == str(then)
    assert api.get(f"{maps}?atRevision={then}&labelSelector=odd%3D1").names == ["c1", "c3"]
    one = api.get(f"{maps}?atRevision={then}&fieldSelector=metadata.name%3Dc2")
    assert one.names == ["c2"]


def test_the_past_comes_in_pages(api: Api, maps: str) -> None:
    for number in range(5):
        api.post(maps, a_config_map(f"c{number}"))
    then = api.revision()
    api.delete(f"{maps}/c1")
    first = api.get(f"{maps}?atRevision={then}&limit=2")
    assert first.names == ["c0", "c1"]
    api.delete(f"{maps}/c3")
    token = first.json["metadata"]["continue"]
    rest = api.get(f"{maps}?atRevision={then}&limit=5&continue={token}")
    assert (rest.names, rest.json["metadata"].get("continue")) == (["c2", "c3", "c4"], None)


def test_tables_show_the_past(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod())
    then = api.revision()
    api.patch(f"{ns}/pods/web/status", {"status": {"phase": "Running"}})
    cells = api.get(f"{ns}/pods?atRevision={then}", Accept=TABLE).json["rows"][0]["cells"]
    assert cells[:3] == ["web", "0/1", "Pending"]
    assert api.get(f"{ns}/pods/web?atRevision={then}", Accept=TABLE).json["kind"] == "Table"


def test_kinds_of_groups_and_of_no_namespace_have_a_past(api: Api, ns: str) -> None:
    api.post(f"{apps_of(ns)}/deployments", a_new_deployment())
    then = api.revision()
    api.patch(f"{apps_of(ns)}/deployments/web", {"spec": {"replicas": 7}})
    name = ns.rpartition("/")[2]
    api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"now": "yes"}}})
    past = api.get(f"{apps_of(ns)}/deployments/web?atRevision={then}").json
    assert past["spec"]["replicas"] == 2
    labels = api.get(f"/api/v1/namespaces/{name}?atRevision={then}").json["metadata"]["labels"]
    assert "now" not in labels


def test_a_namespace_that_was_not_there_yet_is_not_found(api: Api, ns: str, maps: str) -> None:
    created = int(api.get(f"/api/v1/namespaces/{ns.rpartition('/')[2]}").json["metadata"][
        "resourceVersion"])  # fmt: skip
    for path in (maps, f"{maps}/cm"):
        refused = api.get(f"{path}?atRevision={created - 1}")
        name = ns.rpartition("/")[2]
        assert (refused.code, refused.message) == (404, f'namespaces "{name}" not found')


def test_what_is_no_moment_is_refused(api: Api, maps: str) -> None:
    for text in ("yesterday", "-5", "5x ago", "", "2026-11-25", "1.5"):
        refused = api.get(f"{maps}?atRevision={quote(text)}")
        assert (refused.code, refused.reason) == (400, "BadRequest"), text
        assert 'atRevision: Invalid value: "' in refused.message


def test_the_future_is_refused(api: Api, maps: str) -> None:
    refused = api.get(f"{maps}?atRevision={api.revision() + 100}")
    assert (refused.code, refused.reason) == (504, "Timeout")
    assert "Too large resource version" in refused.message
    refused = api.get(f"{maps}?atRevision=2099-01-01T00:00:00Z")
    assert refused.code == 400
    assert "must not be in the future" in refused.message


def test_only_reads_of_objects_have_a_past(api: Api, maps: str, ns: str) -> None:
    assert api.get(f"{maps}?watch=1&atRevision=1").code == 400
    assert api.call("POST", f"{maps}?atRevision=1", a_config_map()).code == 400
    assert api.call("DELETE", f"{maps}/cm?atRevision=1").code == 400
    assert api.get(f"{apps_of(ns)}/deployments/web/scale?atRevision=1").code == 400
    assert api.get(f"{ns}/pods/web/log?atRevision=1").code == 400
    assert api.get(f"{maps}?atRevision=1&resourceVersion=1").code == 400


def test_the_past_needs_the_rights_of_now(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/secrets", a_config_map("s") | {"kind": "Secret"})
    api.delete(f"{ns}/secrets/s")
    then = made.json["metadata"]["resourceVersion"]
    assert api.get(f"{ns}/secrets/s?atRevision={then}").code == 200
    for identity in ("scheduler", "node-node-1"):
        with Api(api.server, identity) as other:
            assert other.get(f"{ns}/secrets/s?atRevision={then}").code == 403
    with Api(api.server, "node-node-1") as node:
        assert node.get("/api/v1/nodes/node-1?atRevision=1").code == 403
    with Api(api.server, None) as nobody:
        assert nobody.get(f"{ns}/secrets/s?atRevision={then}").code == 401


# The last one: the server has no past then.
def test_what_is_no_longer_kept_is_gone_and_the_oldest_is_named(
    api: Api, maps: str, name: str
) -> None:
    first = int(api.post(maps, a_config_map()).json["metadata"]["resourceVersion"])
    last = int(api.patch(f"{maps}/cm", {"data": {"a": "b"}}).json["metadata"]["resourceVersion"])
    api.server.compact(last)
    for path in (f"{maps}/cm?atRevision=", f"{maps}?atRevision=", "/podium/v1/cluster?at=",
                 f"/podium/v1/diff?namespace={name}&from="):  # fmt: skip
        gone = api.get(f"{path}{first}")
        assert (gone.code, gone.reason) == (410, "Expired")
        assert f"too old resource version: {first} ({last}): the oldest" in gone.message
    assert api.get(f"{maps}/cm?atRevision={last}").code == 200
    assert api.get(f"{maps}?atRevision=1h%20ago").code == 410
