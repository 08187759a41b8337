"""Label and field selectors: which objects a list, a watch or a controller means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from podium.api import names

_TOKEN = re.compile(r"\s*(!=|==|=|!|\(|\)|,|>|<|[^\s!=(),<>]+)")


class SelectorError(ValueError):
    """A selector that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition. operator: In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        try:
            number, bound = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "Gt" else number < bound

    def __str__(self) -> str:
        if self.operator == "Exists":
            return self.key
        if self.operator == "DoesNotExist":
            return f"!{self.key}"
        if self.operator in ("Gt", "Lt"):
            return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{self.values[0]}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'In' else '!='}{self.values[0]}"
        return f"{self.key} {'in' if self.operator == 'In' else 'notin'} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return all(r.matches(labels or {}) for r in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector((Requirement("", "In"),))


def from_dict(selector: Mapping[str, object] | None) -> LabelSelector:
    """From an object's `selector`: {"matchLabels": …, "matchExpressions": …}. No selector selects
    nothing, an empty one everything; raises SelectorError."""
    if selector is None:
        return NOTHING
    labels = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not isinstance(labels, Mapping) or not isinstance(expressions, Iterable):
        raise SelectorError("matchLabels must be an object and matchExpressions a list")
    found = [Requirement(k, "In", (v,)) for k, v in sorted(labels.items())]
    for e in expressions:
        if e.get("operator") not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
            raise SelectorError(f'"{e.get("operator")}" is not a valid label selector operator')
        found.append(Requirement(e.get("key", ""), e["operator"], tuple(e.get("values") or ())))
    return LabelSelector(tuple(found))


def from_labels(labels: Mapping[str, str]) -> LabelSelector:
    """Every one of these labels with its value: a nodeSelector, an old-style selector."""
    return LabelSelector(tuple(Requirement(k, "In", (v,)) for k, v in sorted(labels.items())))


def parse_label_selector(text: str) -> LabelSelector:
    """From a query: "app=web,tier in (a,b),!old,size>3"; raises SelectorError."""
    tokens = _tokens(text)
    found: list[Requirement] = []
    while tokens:
        found.append(_requirement(tokens, text))
        if tokens and tokens.pop(0) != ",":
            raise SelectorError(f"unable to parse requirement: found a surplus word in '{text}'")
    return LabelSelector(tuple(found))


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            raise SelectorError(f"unable to parse requirement: '{text}'")
        tokens.append(match[1])
        at = match.end()
    return tokens


def _requirement(tokens: list[str], text: str) -> Requirement:
    word = tokens.pop(0)
    if word == "!":
        return Requirement(_key(tokens.pop(0) if tokens else ""), "DoesNotExist")
    key = _key(word)
    if not tokens or tokens[0] == ",":
        return Requirement(key, "Exists")
    operator = tokens.pop(0)
    if operator in ("=", "==", "!="):
        value = tokens.pop(0) if tokens and tokens[0] != "," else ""
        return Requirement(key, "NotIn" if operator == "!=" else "In", (_value(value),))
    if operator in (">", "<"):
        value = tokens.pop(0) if tokens else ""
        if not re.fullmatch(r"-?\d+", value):
            raise SelectorError(f"for 'Gt', 'Lt' operators, the value must be an integer: '{text}'")
        return Requirement(key, "Gt" if operator == ">" else "Lt", (value,))
    if operator in ("in", "notin"):
        return Requirement(key, "In" if operator == "in" else "NotIn", _values(tokens, text))
    raise SelectorError(
        f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
    )


def _values(tokens: list[str], text: str) -> tuple[str, ...]:
    if not tokens or tokens.pop(0) != "(":
        raise SelectorError(f"unable to parse requirement: expected '(' in '{text}'")
    values = [""]
    while tokens:
        token = tokens.pop(0)
        if token == ")":
            return tuple(values)
        if token == ",":
            values.append("")
        elif values[-1]:
            break
        else:
            values[-1] = _value(token)
    raise SelectorError(f"unable to parse requirement: expected ',' or ')' in '{text}'")


def _key(text: str) -> str:
    problems = names.label_key(text)
    if problems:
        raise SelectorError(
            f'unable to parse requirement: <nil>: Invalid value: "{text}": {"; ".join(problems)}'
        )
    return text


def _value(text: str) -> str:
    problems = names.label_value(text)
    if problems:
        why = "; ".join(problems)
        raise SelectorError(
            f'unable to parse requirement: values[0]: Invalid value: "{text}": {why}'
        )
    return text


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """`requirements`: (path, value, is_equal) such as ("spec.nodeName", "n1", True)."""

    requirements: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, get: Callable[[str], str]) -> bool:
        """`get(path)` gives the object's value of a path, "" when there is none."""
        return all((get(path) == value) is equal for path, value, equal in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(
            f"{path}{'=' if equal else '!='}{value}" for path, value, equal in self.requirements
        )


def parse_field_selector(text: str) -> FieldSelector:
    """From a query: "metadata.name=x,status.phase!=Running"; raises SelectorError."""
    found = []
    for term in re.split(r"(?<!\\),", text):
        if not term.strip():
            continue
        match = re.fullmatch(r"\s*([^=!]+?)\s*(!=|==|=)(.*)", term, re.S)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        value = re.sub(r"\\([,=\\])", r"\1", match[3])
        found.append((match[1], value, match[2] != "!="))
    return FieldSelector(tuple(found))
