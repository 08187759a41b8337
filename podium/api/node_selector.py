"""Whether a node is one of those that a NodeSelector names, by labels or by metadata.name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.api.selectors import Requirement

Object = dict[str, Any]


def matches_node(selector: Object, name: str, labels: Mapping[str, str]) -> bool:
    """Any of its terms; of a term all expressions. An empty term matches no node."""
    return any(
        _all_match(term.get("matchExpressions"), labels)
        and _all_match(term.get("matchFields"), {"metadata.name": name})
        for term in selector.get("nodeSelectorTerms") or ()
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _all_match(expressions: list[Object] | None, values: Mapping[str, str]) -> bool:
    return all(
        Requirement(e["key"], e["operator"], tuple(e.get("values") or ())).matches(values)
        for e in expressions or ()
    )
