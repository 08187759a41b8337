"""LIST: selectors, pages, revisions, tables."""

from __future__ import annotations

import pytest

from tests.integration.apiserver.plain_http import Api, a_config_map, a_new_pod

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def five(api: Api, ns: str) -> str:
    for number in range(5):
        api.post(f"{ns}/configmaps", a_config_map(f"c{number}", {"odd": str(number % 2)}))
    return f"{ns}/configmaps"


def test_a_list_is_in_order_of_names_with_its_revision(api: Api, five: str) -> None:
    listed = api.get(five)
    assert listed.names == ["c0", "c1", "c2", "c3", "c4"]
    assert listed.json["kind"] == "ConfigMapList"
    assert int(listed.json["metadata"]["resourceVersion"]) == api.revision()


def test_labels_and_fields_select(api: Api, five: str) -> None:
    assert api.get(f"{five}?labelSelector=odd%3D1").names == ["c1", "c3"]
    assert api.get(f"{five}?labelSelector=odd%20notin%20(1)").names == ["c0", "c2", "c4"]
    assert api.get(f"{five}?fieldSelector=metadata.name%3Dc2").names == ["c2"]
    assert api.get(f"{five}?fieldSelector=metadata.name!%3Dc2").names == ["c0", "c1", "c3", "c4"]


def test_a_field_that_cannot_be_selected_is_named(api: Api, five: str) -> None:
    refused = api.get(f"{five}?fieldSelector=spec.color%3Dred")
    assert refused.code == 400
    assert "field label not supported: spec.color" in refused.message


def test_pages_are_all_of_the_first_ones_revision(api: Api, five: str) -> None:
    first = api.get(f"{five}?limit=2").json
    assert first["metadata"]["remainingItemCount"] == 3
    api.delete(f"{five}/c3")
    api.patch(f"{five}/c4", {"data": {"new": "yes"}})
    api.post(five, a_config_map("c2a"))
    token = first["metadata"]["continue"]
    rest = api.get(f"{five}?limit=10&continue={token}")
    assert rest.names == ["c2", "c3", "c4"]
    assert "new" not in rest.json["items"][-1].get("data", {})
    assert rest.json["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_pages_with_a_selector_are_full(api: Api, five: str) -> None:
    first = api.get(f"{five}?limit=2&labelSelector=odd%3D0").json
    token = first["metadata"]["continue"]
    assert api.get(f"{five}?limit=2&labelSelector=odd%3D0&continue={token}").names == ["c4"]


def test_a_broken_token_is_a_bad_request(api: Api, five: str) -> None:
    assert api.get(f"{five}?limit=2&continue=nonsense").code == 400


def test_an_exact_revision_is_the_past(api: Api, five: str) -> None:
    then = api.revision()
    api.delete(f"{five}/c0")
    past = api.get(f"{five}?resourceVersion={then}&resourceVersionMatch=Exact")
    assert past.names == ["c0", "c1", "c2", "c3", "c4"]
    assert past.json["metadata"]["resourceVersion"] == str(then)
    assert api.get(f"{five}?resourceVersion={then}").names == ["c1", "c2", "c3", "c4"]


def test_the_future_is_too_large(api: Api, five: str) -> None:
    refused = api.get(f"{five}?resourceVersion={api.revision() + 1000}")
    assert (refused.code, refused.reason) == (504, "Timeout")
    assert refused.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_a_table_has_columns_rows_and_partial_objects(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod())
    table = api.get(f"{ns}/pods", Accept=TABLE).json
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["name"] == "Name"
    assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = api.get(f"{ns}/pods/web?includeObject=Object", Accept=TABLE).json
    assert one["rows"][0]["object"]["kind"] == "Pod"


def test_metadata_alone_can_be_asked_for(api: Api, five: str) -> None:
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = api.get(five, Accept=accept).json
    assert listed["kind"] == "PartialObjectMetadataList"
    assert {tuple(item) for item in listed["items"]} == {("kind", "apiVersion", "metadata")}


def test_what_cannot_be_served_is_not_acceptable(api: Api, five: str) -> None:
    assert api.get(five, Accept="text/html").code == 406
    assert api.get(five, Accept="application/yaml").raw.startswith(b"kind: ConfigMapList")


def test_a_long_list_comes_in_pieces_and_is_whole(api: Api, ns: str) -> None:
    for number in range(600):
        api.post(f"{ns}/configmaps", a_config_map(f"many-{number:04}"))
    listed = api.get(f"{ns}/configmaps")
    assert listed.headers["Transfer-Encoding"] == "chunked"
    assert listed.names == [f"many-{number:04}" for number in range(600)]
    whole = api.get("/api/v1/configmaps?limit=10000")
    assert set(listed.names) <= set(whole.names)
