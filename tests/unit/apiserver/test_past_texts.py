"""Two states of an object side by side."""

from __future__ import annotations

from apiserver.time_travel.texts import MAX_FIELDS, changed_fields, masked, unified_diff


def test_changed_fields_are_named_with_what_tells_list_elements_apart() -> None:
    before = {"status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
              "spec": {"containers": [{"name": "a", "image": "x"}]}}  # fmt: skip
    after = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
             "spec": {"containers": [{"name": "a", "image": "y"}, {"name": "b"}]}}  # fmt: skip
    assert changed_fields(before, after) == [
        "status.phase",
        "spec.containers[b]",
        "spec.containers[a].image",
        "status.conditions[Ready].status",
    ]


def test_too_many_changed_fields_are_cut() -> None:
    found = changed_fields({}, {"data": {f"k{n:02}": n for n in range(30)}})
    assert found == ["data"]
    found = changed_fields({"data": {"z": 1}}, {"data": {f"k{n:02}": n for n in range(30)}})
    assert (len(found), found[-1]) == (MAX_FIELDS + 1, "…")


def test_a_secrets_values_are_hidden_where_its_annotation_repeats_them_too() -> None:
    note = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"czNjcmV0"}}'}
    secret = {"metadata": {"annotations": note}, "data": {"a": "czNjcmV0"}}
    before, after = masked(secret, None)
    text = unified_diff(before, after, before_name="x", after_name="y")
    assert "czNjcmV0" not in text
    assert "*** (before)" in text
