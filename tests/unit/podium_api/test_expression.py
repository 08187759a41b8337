"""The conditions of breakpoints."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api.expression import Expression, ExpressionError

WEB: dict[str, Any] = {
    "object": {
        "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "web"}},
        "spec": {"replicas": 5, "paused": False, "ports": [80, 443]},
    },
    "write": {"verb": "create", "resource": "pods"},
}


def holds(text: str) -> bool:
    return Expression(text, ("object", "write")).holds(WEB)


@pytest.mark.parametrize(
    "text",
    [
        "object.spec.replicas > 3",
        'object.metadata.labels["app.kubernetes.io/name"] == "web"',
        "object.spec.replicas == 5 && write.verb == 'create'",
        "object.spec.replicas == 1 || write.verb == 'create' && !object.spec.paused",
        "write.resource in ['pods', 'replicasets.apps']",
        "has(object.spec.ports) && !has(object.spec.nothing.at.all)",
        "size(object.spec.ports) == 2 && object.spec.ports[1] == 443",
        "object.metadata.name.startsWith('we') && object.metadata.name.size() == 3",
        "443 in object.spec.ports && -1 < 0",
        "(object.nothing == null)",
    ],
)
def test_what_is_so_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "object.spec.replicas < 'a'",
        "object.nothing > 0",
        "object.spec.replicas",
        "!object.spec.replicas && object.spec.paused",
        "object.spec.ports[7] == 80",
    ],
)
def test_what_is_not_so_or_cannot_be_said_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("object.spec.replicas >", "unexpected end at character 23"),
        ("objekt.spec == 1", "undeclared reference to 'objekt'"),
        ("object.spec.replicas == 1)", "unexpected ')' at character 26"),
        ("object.name.upper()", "unknown function 'upper'"),
        ("__import__('os')", "undeclared reference to '__import__'"),
        ("object.spec; 1", "cannot read '; 1' at character 12"),
        ("(" * 100 + "1", "too deeply nested"),
        ("1" * 2000, "no more than 1024 characters"),
        ("has(object.spec", "expected ')', not the end"),
        ("", "unexpected end at character 1"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text, ("object", "write"))
    assert why in str(caught.value)


@given(st.text(alphabet="object.spec[]()!&|<>='\"1 -inhas,", max_size=60))
def test_no_text_does_anything_but_hold_or_be_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert Expression(text, ("object",)).holds(WEB) in (True, False)
