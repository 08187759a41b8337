"""WATCH: what is seen, from when, and how it ends."""

from __future__ import annotations

import re

from tests.integration.apiserver.plain_http import Api, a_config_map, a_new_pod
from tests.support.waiting import eventually

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def open_watches(api: Api) -> int:
    found = re.search(
        r"^apiserver_longrunning_requests (\d+)", api.get("/metrics").raw.decode(), re.M
    )
    assert found
    return int(found[1])


def test_a_watch_begins_with_what_there_is_oldest_change_first(api: Api, ns: str) -> None:
    for name in ("b", "a"):
        api.post(f"{ns}/configmaps", a_config_map(name))
    with api.watch(f"{ns}/configmaps") as watch:
        assert watch.take(2) == [("ADDED", "b"), ("ADDED", "a")]
        api.delete(f"{ns}/configmaps/a")
        assert watch.take(1) == [("DELETED", "a")]


def test_a_watch_goes_on_after_a_revision(api: Api, ns: str) -> None:
    path = f"{ns}/configmaps"
    api.post(path, a_config_map("old"))
    rv = api.get(path).json["metadata"]["resourceVersion"]
    api.patch(f"{path}/old", {"data": {"a": "1"}})
    api.post(path, a_config_map("new"))
    with api.watch(path, f"resourceVersion={rv}") as watch:
        assert watch.take(2) == [("MODIFIED", "old"), ("ADDED", "new")]
        api.post(
            f"{ns}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}}
        )
        api.delete(f"{path}/old")
        deleted = watch.next_event()
    assert deleted["type"] == "DELETED"
    assert int(deleted["object"]["metadata"]["resourceVersion"]) == api.revision()


def test_entering_and_leaving_a_selector_is_added_and_deleted(api: Api, ns: str) -> None:
    path = f"{ns}/configmaps"
    with api.watch(path, "labelSelector=on%3Dyes") as watch:
        api.post(path, a_config_map("x"))
        api.patch(f"{path}/x", {"metadata": {"labels": {"on": "yes"}}})
        added = watch.next_event()
        api.patch(f"{path}/x", {"data": {"a": "1"}})
        modified = watch.next_event()
        api.patch(f"{path}/x", {"metadata": {"labels": {"on": "no"}}})
        deleted = watch.next_event()
    assert [e["type"] for e in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    assert deleted["object"]["metadata"]["labels"] == {"on": "yes"}
    assert int(deleted["object"]["metadata"]["resourceVersion"]) == api.revision()


def test_a_pod_watch_can_be_for_one_node(api: Api, ns: str) -> None:
    with api.watch(f"{ns}/pods", "fieldSelector=spec.nodeName%3Dn1") as watch:
        api.post(f"{ns}/pods", a_new_pod("elsewhere", nodeName="n2"))
        api.post(f"{ns}/pods", a_new_pod("here", nodeName="n1"))
        assert watch.take(1) == [("ADDED", "here")]


def test_a_timeout_ends_a_watch_cleanly_with_a_bookmark(api: Api, ns: str) -> None:
    api.post(f"{ns}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    query = f"timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={api.revision()}"
    with api.watch(f"{ns}/configmaps", query) as watch:
        (last,) = watch.rest()
    assert last["type"] == "BOOKMARK"
    assert last["object"]["kind"] == "ConfigMap"
    assert int(last["object"]["metadata"]["resourceVersion"]) == api.revision()


def test_bookmarks_come_only_when_asked_for(api: Api, ns: str) -> None:
    with api.watch(f"{ns}/configmaps", "timeoutSeconds=1&resourceVersion=1") as watch:
        assert watch.rest() == []


def test_a_watch_list_says_where_its_beginning_ends(api: Api, ns: str) -> None:
    api.post(f"{ns}/configmaps", a_config_map("a"))
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with api.watch(f"{ns}/configmaps", query) as watch:
        assert watch.take(1) == [("ADDED", "a")]
        end = watch.next_event()
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        api.post(f"{ns}/configmaps", a_config_map("b"))
        assert watch.take(1) == [("ADDED", "b")]
    refused = api.get(f"{ns}/configmaps?watch=1&sendInitialEvents=true")
    assert refused.code == 422


def test_a_table_watch_sends_rows_and_its_columns_once(api: Api, ns: str) -> None:
    api.post(f"{ns}/configmaps", a_config_map("a"))
    with api.watch(f"{ns}/configmaps", Accept=TABLE) as watch:
        first = watch.next_event()["object"]
        api.patch(f"{ns}/configmaps/a", {"data": {"x": "y"}})
        second = watch.next_event()["object"]
    assert first["columnDefinitions"][0]["name"] == "Name"
    assert second["columnDefinitions"] is None
    assert [t["rows"][0]["cells"][:2] for t in (first, second)] == [["a", 0], ["a", 1]]


def test_clients_that_have_gone_are_noticed_at_once(api: Api, ns: str) -> None:
    before = open_watches(api)
    connections = []
    for _ in range(20):
        connection = api.connect()
        connection.request("GET", f"{ns}/configmaps?watch=1")
        connections.append((connection, connection.getresponse()))
    assert open_watches(api) == before + 20
    for connection, response in connections:
        response.close()
        connection.close()
    eventually(lambda: open_watches(api) == before, timeout_s=3)
