"""Selectors choose what Kubernetes' choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api.selectors import (
    SelectorError,
    from_dict,
    from_labels,
    parse_field_selector,
    parse_label_selector,
)

WEB = {"app": "web", "tier": "front", "size": "5"}

words = st.text("abcxyz019", min_size=1, max_size=8)


@pytest.mark.parametrize(
    "text",
    ["", "app", "app=web", "app==web", "app != db", "!old", "app in (web, db)", "tier notin (back)",
     "gone notin (x)", "size>4", "size<6", "app=web,tier=front", "gone!=x", " app = web "],
)  # fmt: skip
def test_a_label_selector_matches(text: str) -> None:
    assert parse_label_selector(text).matches(WEB)


@pytest.mark.parametrize(
    "text", ["app=db", "!app", "gone", "app in (db)", "app notin (web)", "size>5", "tier>1", "app="]
)
def test_a_label_selector_does_not_match(text: str) -> None:
    assert not parse_label_selector(text).matches(WEB)


@pytest.mark.parametrize(
    "text",
    ["app=web tier", "app in web", "app in (a", "app in (a b)", "=x", "app=a b", "size>x", "-bad=1",
     "app=" + "x" * 64, "a/b/c=1", "app in (a,b", ",", "app web"],
)  # fmt: skip
def test_a_label_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match=r"parse|integer"):
        parse_label_selector(text)


def test_the_selector_of_an_object_needs_all_its_labels_and_expressions() -> None:
    selector = from_dict(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}],
        }
    )
    assert selector.matches(WEB)
    assert not selector.matches({"app": "web"})


def test_an_empty_selector_selects_everything_and_none_nothing() -> None:
    assert from_dict({}).matches({})
    assert not from_dict(None).matches(WEB)
    assert not from_dict(None).matches({})


def test_an_operator_that_is_not_known_is_refused() -> None:
    with pytest.raises(SelectorError, match="not a valid label selector operator"):
        from_dict({"matchExpressions": [{"key": "a", "operator": "Like"}]})


@given(st.dictionaries(words, words, min_size=1))
def test_the_text_of_a_selector_reads_back_as_the_same_selector(labels: dict[str, str]) -> None:
    selector = from_labels(labels)
    assert parse_label_selector(str(selector)) == selector
    assert selector.matches(labels)


def test_a_field_selector_compares_paths() -> None:
    selector = parse_field_selector("metadata.name=web,status.phase!=Failed,spec.nodeName==n1")
    fields = {"metadata.name": "web", "spec.nodeName": "n1"}
    assert selector.matches(lambda path: fields.get(path, ""))
    assert str(selector) == "metadata.name=web,status.phase!=Failed,spec.nodeName=n1"
    assert not selector.matches(lambda path: "Failed")


def test_a_field_selector_reads_escapes() -> None:
    assert parse_field_selector(r"a=x\,y\=z").requirements == (("a", "x,y=z", True),)


def test_a_field_selector_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SelectorError, match="can't understand"):
        parse_field_selector("metadata.name")
