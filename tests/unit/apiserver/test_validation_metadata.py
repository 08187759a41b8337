"""Names, labels, owners and what may not change, for every kind."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.validation import validate_create, validate_update
from podium.api.scheme import resource
from tests.support.builders import a_namespace, a_pod

CONFIG_MAPS = resource("cm")


def a_config_map(**meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c", "namespace": "default"} | meta}


def causes(**meta: Any) -> list[str]:
    return [str(cause) for cause in validate_create(CONFIG_MAPS, a_config_map(**meta))]


def test_a_good_object_has_no_causes() -> None:
    labels = {"app": "web", "example.com/tier": ""}
    assert causes(labels=labels, annotations={"Example.com/X": "y"}, finalizers=["a.b/c"]) == []


def test_a_name_is_required() -> None:
    assert causes(name="") == ["metadata.name: Required value: name or generateName is required"]


def test_a_name_of_300_characters_is_refused() -> None:
    found = causes(name="x" * 300)
    assert len(found) == 1
    assert found[0].endswith("must be no more than 253 characters")


def test_a_bad_name_is_quoted_and_told_the_rule() -> None:
    (found,) = causes(name="Web_1")
    assert found.startswith(
        'metadata.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist of'
    )


def test_a_generated_name_may_end_in_a_dash() -> None:
    assert causes(generateName="web-", name="web-abcde") == []
    assert "metadata.generateName" in causes(generateName="Web-", name="web-abcde")[0]


def test_every_wrong_label_and_annotation_is_a_cause() -> None:
    found = causes(labels={"a b": "x", "ok": "-"}, annotations={"/": "x"})
    assert [f.partition(":")[0] for f in found] == [
        "metadata.labels", "metadata.labels", "metadata.annotations", "metadata.annotations",
        "metadata.annotations",
    ]  # fmt: skip


def test_annotations_have_a_limit() -> None:
    found = causes(annotations={"a": "x" * (256 << 10)})
    assert found == ["metadata.annotations: Too long: may not be more than 262144 bytes"]


def test_a_cluster_wide_kind_has_no_namespace() -> None:
    namespace = a_namespace() | {"metadata": {"name": "lab", "namespace": "x"}}
    (cause,) = validate_create(resource("ns"), namespace)
    assert str(cause) == "metadata.namespace: Forbidden: not allowed on this type"


def test_a_namespace_is_named_like_a_dns_label() -> None:
    (cause,) = validate_create(resource("ns"), a_namespace("a.b"))
    assert str(cause) == 'metadata.name: Invalid value: "a.b": must not contain dots'


def test_owners_are_whole_and_one_of_them_controls() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", "controller": True}
    assert causes(ownerReferences=[owner]) == []
    assert (
        "Only one reference can have Controller set to true"
        in (causes(ownerReferences=[owner, owner | {"uid": "v"}])[0])
    )
    assert causes(ownerReferences=[owner | {"uid": ""}]) == [
        'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty'
    ]


@pytest.mark.parametrize("field", ["name", "uid", "namespace", "creationTimestamp"])
def test_identity_may_not_change(field: str) -> None:
    old = a_pod()
    new = a_pod() | {"metadata": old["metadata"] | {field: "other"}, "spec": old["spec"]}
    found = [str(c) for c in validate_update(resource("po"), new, old)]
    assert found == [f'metadata.{field}: Invalid value: "other": field is immutable']


def test_an_object_that_is_being_deleted_gets_no_new_finalizers() -> None:
    old = a_config_map(uid="u", deletionTimestamp="2026-11-24T01:02:03Z", finalizers=["a/a"])
    new = a_config_map(uid="u", deletionTimestamp="2026-11-24T01:02:03Z", finalizers=["a/a", "b/b"])
    (cause,) = validate_update(CONFIG_MAPS, new, old)
    assert str(cause).endswith('found new finalizers []string{"b/b"}')
    assert validate_update(CONFIG_MAPS, old, new) == []
