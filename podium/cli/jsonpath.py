"""Room podium/cli: the jsonpath templates of `-o jsonpath=…`, as far as tutorials use them.

    {.items[*].metadata.name}    {range .items[*]}{.metadata.name}{"\\n"}{end}
    {.status.conditions[?(@.type=="Ready")].status}    {.metadata.labels.app\\.kubernetes\\.io/name}

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/. Pure functions, no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r"\{((?:\"[^\"]*\"|'[^']*'|[^{}\"'])*)\}|([^{]+)|(\{)")
_STEP = re.compile(
    r"""\.\.(?P<deep>[^.\[\s]+)
      | \.?\[(?P<filter>\?\(.*?\))\]
      | \.?\[(?P<index>[^\]]*)\]
      | \.(?P<key>(?:\\.|[^.\[\s\\])*)""",
    re.VERBOSE,
)
_FILTER = re.compile(
    r"\?\(\s*@(?P<path>[^\s=!<>]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<to>.+?))?\s*\)"
)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}


class JsonPathError(ValueError):
    """The template cannot be understood."""


def render(template: str, root: Any) -> str:
    """Fill a template from an object. A path that leads nowhere prints nothing, as in kubectl."""
    if "{" not in template:
        template = "{" + (template if template.startswith((".", "[", "@", "$")) else f".{template}")
        template += "}"
    tokens = list(_tokens(template))
    text, rest = _render(tokens, 0, root, root)
    if rest != len(tokens):
        raise JsonPathError("{end} without {range}")
    return text


def _tokens(template: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(template):
        inside, text, stray = match.groups()
        if stray:
            raise JsonPathError(f"unclosed action at {template[match.start() :]!r}")
        if inside is None:
            yield "text", text
        elif inside.strip().startswith("range "):
            yield "range", inside.strip()[6:].strip()
        elif inside.strip() == "end":
            yield "end", ""
        elif inside.strip()[:1] in ("'", '"'):
            yield "text", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inside.strip()[1:-1])
        else:
            yield "path", inside.strip()


def _render(
    tokens: list[tuple[str, str]], at: int, root: Any, here: Any, *, in_range: bool = False
) -> tuple[str, int]:
    out = ""
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind == "text":
            out += text
        elif kind == "path":
            out += " ".join(_shown(value) for value in _find(text, root, here))
        elif kind == "end":
            return out, (at if in_range else at - 1)
        else:
            values = _find(text, root, here)
            end = _render(tokens, at, root, None, in_range=True)[1]
            out += "".join(_render(tokens, at, root, v, in_range=True)[0] for v in values)
            at = end
    if in_range:
        raise JsonPathError("{range} without {end}")
    return out, at


def _find(path: str, root: Any, here: Any) -> list[Any]:
    start = root if path.startswith("$") else here
    rest = path[1:] if path[:1] in ("$", "@") else path
    values, at = [start], 0
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    while at < len(rest):
        match = _STEP.match(rest, at)
        if not match:
            raise JsonPathError(f"cannot read {rest[at:]!r}")
        values = [found for value in values for found in _step(match, value, root)]
        at = match.end()
    return values


def _step(match: re.Match[str], value: Any, root: Any) -> list[Any]:
    if match["deep"] is not None:
        return list(_deep(value, match["deep"]))
    if match["filter"] is not None:
        return _filtered(match["filter"], value, root)
    if match["index"] is not None:
        return _indexed(match["index"].strip(), value)
    key = re.sub(r"\\(.)", r"\1", match["key"])
    if key == "":
        return [value]
    return _child(value, key)


def _child(value: Any, key: str) -> list[Any]:
    if key == "*":
        return list(value.values()) if isinstance(value, dict) else list(value or [])
    return [value[key]] if isinstance(value, dict) and key in value else []


def _deep(value: Any, key: str) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        if isinstance(value, dict) and key in value:
            yield value[key]
        for child in children:
            yield from _deep(child, key)


def _indexed(index: str, value: Any) -> list[Any]:
    if index[:1] in ("'", '"'):
        return _child(value, index[1:-1])
    if index == "*":
        return _child(value, "*")
    if not isinstance(value, list):
        return []
    try:
        if ":" in index:
            return value[slice(*(int(part) if part else None for part in index.split(":")))]
        return [item for i in index.split(",") for item in _at(value, int(i))]
    except ValueError:
        raise JsonPathError(f"invalid array index {index}") from None


def _at(value: list[Any], index: int) -> list[Any]:
    return [value[index]] if -len(value) <= index < len(value) else []


def _filtered(text: str, value: Any, root: Any) -> list[Any]:
    match = _FILTER.fullmatch(text)
    if not match:
        raise JsonPathError(f"cannot read the filter {text}")
    return [item for item in _child(value, "*") if _holds(match, item, root)]


def _holds(match: re.Match[str], item: Any, root: Any) -> bool:
    found = _find(f"@{match['path']}", root, item)
    if not match["op"]:
        return bool(found)
    wanted = _literal(match["to"].strip())
    for value in found:
        try:
            if {
                "==": lambda a, b: a == b,
                "!=": lambda a, b: a != b,
                "<": lambda a, b: a < b,
                ">": lambda a, b: a > b,
                "<=": lambda a, b: a <= b,
                ">=": lambda a, b: a >= b,
            }[match["op"]](value, wanted):
                return True
        except TypeError:
            continue  # a number against a text: not comparable, so it does not hold
    return False


def _literal(text: str) -> Any:
    if text[:1] in ("'", '"'):
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
