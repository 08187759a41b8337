"""The discovery documents tell of everything that is served."""

from __future__ import annotations

from apiserver import discovery
from podium.api.scheme import all_resources


def test_every_resource_is_in_the_list_of_its_group_and_version() -> None:
    for resource in all_resources():
        document = discovery.api_resource_list(resource.group, resource.version)
        assert document is not None
        found = {entry["name"]: entry for entry in document["resources"]}
        assert found[resource.plural]["kind"] == resource.kind
        assert found[resource.plural]["namespaced"] is resource.namespaced
        for subresource in resource.subresources:
            assert f"{resource.plural}/{subresource}" in found


def test_scale_and_eviction_speak_a_kind_of_another_group() -> None:
    apps = discovery.api_resource_list("apps", "v1")
    core = discovery.api_resource_list("", "v1")
    assert apps is not None
    assert core is not None
    scale = next(r for r in apps["resources"] if r["name"] == "deployments/scale")
    eviction = next(r for r in core["resources"] if r["name"] == "pods/eviction")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")
    assert (eviction["group"], eviction["version"], eviction["kind"]) == (
        "policy",
        "v1",
        "Eviction",
    )


def test_what_is_not_served_has_no_document() -> None:
    assert discovery.api_resource_list("apps", "v2") is None
    assert discovery.api_group("widgets.io") is None


def test_groups_have_a_preferred_version() -> None:
    groups = {g["name"]: g for g in discovery.api_group_list()["groups"]}
    assert groups["apps"]["preferredVersion"]["groupVersion"] == "apps/v1"
    assert "" not in groups


def test_the_aggregated_document_says_the_same_as_the_legacy_one() -> None:
    items = [*discovery.aggregated(True)["items"], *discovery.aggregated(False)["items"]]
    told = {
        (item["metadata"].get("name", ""), resource["resource"])
        for item in items
        for version in item["versions"]
        for resource in version["resources"]
    }
    assert {(r.group, r.plural) for r in all_resources()} <= told
    assert {group for group, _ in discovery.groups()} == {group for group, _ in told}
