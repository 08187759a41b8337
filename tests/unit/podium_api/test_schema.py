"""The schema table is whole and what it refers to is there."""

from __future__ import annotations

import pytest

from podium.api import schema
from podium.api.scheme import all_resources


def test_every_type_can_be_read_and_every_type_it_names_exists() -> None:
    for name in schema.all_names():
        table = schema.structure(name)
        numbers = [f.number for f in table.declared if f.number]
        assert len(numbers) == len(set(numbers)), name
        for field in table.fields.values():
            assert not field.is_struct or schema.has_structure(field.kind), (name, field)


def test_every_served_kind_has_a_struct() -> None:
    kinds = [r.kind for r in all_resources()]
    for kind in [*kinds, "Scale", "Binding", "Status", "DeleteOptions", "Eviction"]:
        assert schema.has_structure(kind), kind


def test_an_inline_struct_is_opened_for_json_and_stays_a_message_for_protobuf() -> None:
    volume = schema.structure("Volume")
    assert volume.fields["emptyDir"].kind == "EmptyDirVolumeSource"
    assert [f.name for f in volume.declared] == ["name", "VolumeSource"]


@pytest.mark.parametrize(
    ("struct", "field", "merge_key", "list_keys"),
    [
        ("PodSpec", "containers", "name", ("name",)),
        ("Container", "ports", "containerPort", ("containerPort", "protocol")),
        ("Container", "volumeMounts", "mountPath", ("mountPath",)),
        ("Container", "env", "name", ("name",)),
        ("DeploymentStatus", "conditions", "type", ("type",)),
        ("ObjectMeta", "ownerReferences", "uid", ("uid",)),
    ],
)
def test_lists_merge_by_kubernetes_keys(
    struct: str, field: str, merge_key: str, list_keys: tuple[str, ...]
) -> None:
    found = schema.structure(struct).fields[field]
    assert found.patch_strategies == ("merge",)
    assert (found.patch_merge_key, found.list_map_keys) == (merge_key, list_keys)


def test_a_kind_of_two_groups_is_told_apart_by_its_version() -> None:
    assert schema.struct_name("v1", "Event") == "Event"
    assert schema.struct_name("events.k8s.io/v1", "Event") == "events.Event"
    assert schema.struct_name("apps/v1", "Deployment") == "Deployment"
    with pytest.raises(KeyError):
        schema.struct_name("v1", "Widget")
