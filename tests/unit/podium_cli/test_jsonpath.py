"""jsonpath templates, as tutorials use them."""

from __future__ import annotations

from typing import Any

import pytest

from podium.cli import jsonpath

PODS: dict[str, Any] = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "n": 1},
        {"metadata": {"name": "b", "labels": {}}, "n": 2},
    ],
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1:].metadata.name}", "b"),
        ("{.items[0:2].metadata.name}", "a b"),
        ('{range .items[*]}{.metadata.name}{"\\n"}{end}', "a\nb\n"),
        ('{range .items[*]}{.metadata.name}={.n}{","}{end}!', "a=1,b=2,!"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"),
        ('{.status.conditions[?(@.type=="Ready")].status}', "True"),
        ("{.items[?(@.n>1)].metadata.name}", "b"),
        ("{..name}", "a b"),
        ("{.items[1].metadata}", '{"name":"b","labels":{}}'),
        ("{.nothing.here}", ""),
        ("kind: {.kind}", "kind: List"),
        (".kind", "List"),
        ("{$.kind}{@.kind}", "ListList"),
    ],
)
def test_a_template_prints_what_kubectl_prints(template: str, expected: str) -> None:
    assert jsonpath.render(template, PODS) == expected


@pytest.mark.parametrize("template", ["{.items[}", "{range .items[*]}x", "{end}", "{.a[x]}", "{.a"])
def test_a_broken_template_is_an_error(template: str) -> None:
    with pytest.raises(jsonpath.JsonPathError):
        jsonpath.render(template, {"a": [1], "items": []})
