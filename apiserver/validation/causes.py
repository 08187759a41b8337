"""The words for what is wrong with a field. Room: the API server; called by this package's rules.

A path is a string such as "spec.containers[0].name". A value is shown as Kubernetes shows it, which
for structures is Go's own notation: `map[string]string{"app":"web"}`.
Source: apimachinery `pkg/util/validation/field/errors.go`, v0.32.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from podium.api.status import Cause

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"


def required(path: str, detail: str = "") -> Cause:
    return Cause(path, _with("Required value", detail), "FieldValueRequired")


def invalid(path: str, value: object, detail: str) -> Cause:
    return Cause(path, _with(f"Invalid value: {shown(value)}", detail), "FieldValueInvalid")


def duplicate(path: str, value: object) -> Cause:
    return Cause(path, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def not_found(path: str, value: object) -> Cause:
    return Cause(path, f"Not found: {shown(value)}", "FieldValueNotFound")


def forbidden(path: str, detail: str) -> Cause:
    return Cause(path, _with("Forbidden", detail), "FieldValueForbidden")


def not_supported(path: str, value: object, supported: Iterable[str]) -> Cause:
    listed = ", ".join(quoted(s) for s in supported)
    message = f"Unsupported value: {shown(value)}: supported values: {listed}"
    return Cause(path, message, "FieldValueNotSupported")


def too_long(path: str, limit: int) -> Cause:
    return Cause(path, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def each_invalid(path: str, value: object, problems: list[str]) -> list[Cause]:
    """One cause for every problem that `podium.api.names` found with a value."""
    return [invalid(path, value, problem) for problem in problems] if problems else []


def not_negative(path: str, value: int | None) -> list[Cause]:
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def in_range(path: str, value: int, low: int, high: int) -> list[Cause]:
    if low <= value <= high:
        return []
    return [invalid(path, value, f"must be between {low} and {high}, inclusive")]


def immutable(path: str, new: object, old: object) -> list[Cause]:
    return [] if is_same(new, old) else [invalid(path, new, IMMUTABLE)]


def is_same(new: object, old: object) -> bool:
    """Equal, where an empty list or object counts as one that is not there."""
    return new == old or pruned(new) == pruned(old)


def pruned(value: Any) -> Any:
    """Without what says nothing: null, [] and {}; None when nothing is left."""
    if isinstance(value, dict):
        kept = {k: p for k, v in value.items() if (p := pruned(v)) is not None}
        return kept or None
    if isinstance(value, list):
        return [pruned(v) for v in value] or None
    return value


class GoValue(str):
    """A text that is already in Go's notation."""

    __slots__ = ()


def shown(value: object) -> str:
    """A value in a message, as Go's `%v`, `%q` or `%#v` has it."""
    match value:
        case GoValue():
            return str(value)
        case None:
            return '"null"'
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case Mapping():
            inside = ", ".join(f"{quoted(str(k))}:{shown(v)}" for k, v in sorted(value.items()))
            return f"map[string]string{{{inside}}}"
        case list() | tuple():
            return f"[]string{{{', '.join(map(shown, value))}}}"
    return str(value)


def go_labels(labels: Mapping[str, str] | None) -> GoValue:
    return GoValue(shown(labels) if labels is not None else "map[string]string(nil)")


def go_selector(selector: Mapping[str, Any] | None) -> GoValue:
    """A LabelSelector as `%#v` shows it."""
    if selector is None:
        return GoValue('"null"')
    expressions = "[]v1.LabelSelectorRequirement(nil)"
    if selector.get("matchExpressions"):
        rows = ", ".join(
            f"v1.LabelSelectorRequirement{{Key:{quoted(e.get('key', ''))}, "
            f"Operator:{quoted(e.get('operator', ''))}, Values:{_go_strings(e.get('values'))}}}"
            for e in selector["matchExpressions"]
        )
        expressions = f"[]v1.LabelSelectorRequirement{{{rows}}}"
    labels = go_labels(selector.get("matchLabels"))
    return GoValue(f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{expressions}}}")


def go_int_or_string(value: int | str) -> GoValue:
    is_text = isinstance(value, str)
    number, text = (0, value) if is_text else (value, "")
    kind = 1 if is_text else 0
    shape = f"Type:{kind}, IntVal:{number}, StrVal:{quoted(str(text))}"
    return GoValue(f"intstr.IntOrString{{{shape}}}")


def _go_strings(values: list[str] | None) -> str:
    return shown(values) if values else "[]string(nil)"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _with(words: str, detail: str) -> str:
    return f"{words}: {detail}" if detail else words
