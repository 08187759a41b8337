"""Small conditions over JSON, as a breakpoint has them: a part of CEL. Pure, and never Python.

    object.spec.replicas > 3 && object.metadata.labels["app"] == "web"
    write.verb == "delete" || has(object.metadata.deletionTimestamp)

Values: text in '…' or "…", numbers, true, false, null, lists [1, 2]. Operators: == != < <= > >= in
! && ||. Functions: has(path), size(value), and of text startsWith, endsWith, contains. A field that
is not there is null; what cannot be compared is not smaller, greater or equal. A condition is read
once and evaluated in a time that its length bounds (MOST_CHARACTERS).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

MOST_CHARACTERS = 1024
DEEPEST = 32  # parentheses and the like inside each other

Variables = Mapping[str, Any]
_Evaluate = Callable[[Variables], Any]

_TOKEN = re.compile(
    r"""\s*(?: (?P<number>\d+(?:\.\d+)?)
             | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
             | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
             | (?P<sign>&&|\|\||==|!=|<=|>=|[<>!().,\[\]-]) )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "null": None}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_METHODS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
}


class ExpressionError(ValueError):
    """The condition cannot be read; the message says where."""


class Expression:
    """A condition that has been read. `variables` are the names it may begin a path with."""

    def __init__(self, text: str, variables: Collection[str]) -> None:
        """Raises ExpressionError."""
        if len(text) > MOST_CHARACTERS:
            raise ExpressionError(f"must be no more than {MOST_CHARACTERS} characters")
        self.text = text
        self._evaluate = _Parser(text, variables).whole()

    def holds(self, variables: Variables) -> bool:
        """Whether it is true of these values; anything but true is not."""
        return self._evaluate(variables) is True


class _Parser:
    def __init__(self, text: str, variables: Collection[str]) -> None:
        self._text, self._variables = text, variables
        self._tokens = list(_tokens(text))
        self._at = self._depth = 0

    def whole(self) -> _Evaluate:
        found = self._any()
        if self._at < len(self._tokens):
            raise self._error(f"unexpected {self._tokens[self._at][1]!r}")
        return found

    # --- the grammar, from what binds least to what binds most ----------------------------------

    def _any(self) -> _Evaluate:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error("too deeply nested")
        parts = [self._all()]
        while self._takes("||"):
            parts.append(self._all())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else lambda v: any(part(v) is True for part in parts)

    def _all(self) -> _Evaluate:
        parts = [self._relation()]
        while self._takes("&&"):
            parts.append(self._relation())
        return parts[0] if len(parts) == 1 else lambda v: all(part(v) is True for part in parts)

    def _relation(self) -> _Evaluate:
        left = self._unary()
        sign = self._peek()
        if sign in _COMPARISONS:
            self._at += 1
            right, compare = self._unary(), _COMPARISONS[sign]
            return lambda v: _compared(compare, left(v), right(v))
        if sign == "in":
            self._at += 1
            right = self._unary()
            return lambda v: _is_in(left(v), right(v))
        return left

    def _unary(self) -> _Evaluate:
        negations = 0
        while self._takes("!"):
            negations += 1
        if not negations:
            return self._member()
        inside = self._member()
        return lambda v: (inside(v) is True) == (negations % 2 == 0)

    def _member(self) -> _Evaluate:
        found = self._primary()
        while True:
            if self._takes("."):
                name = self._name()
                found = self._call(found, name) if self._takes("(") else _step(found, name)
            elif self._takes("["):
                key = self._any()
                self._expect("]")
                found = _index(found, key)
            else:
                return found

    def _call(self, subject: _Evaluate, name: str) -> _Evaluate:
        if name == "size":
            self._expect(")")
            return lambda v: _size(subject(v))
        method = _METHODS.get(name)
        if method is None:
            raise self._error(f"unknown function {name!r}")
        part = self._any()
        self._expect(")")

        def call(v: Variables) -> bool:
            text, other = subject(v), part(v)
            return isinstance(text, str) and isinstance(other, str) and method(text, other)

        return call

    def _primary(self) -> _Evaluate:
        kind, word = self._next()
        if kind == "number":
            number = float(word) if "." in word else int(word)
            return lambda _: number
        if kind == "text":
            text = re.sub(r"\\(.)", r"\1", word[1:-1])
            return lambda _: text
        if kind == "name":
            return self._named(word)
        if word == "-":
            inside = self._primary()
            return lambda v: -n if isinstance(n := inside(v), int | float) else None
        if word == "(":
            found = self._any()
            self._expect(")")
            return found
        if word == "[":
            return self._list()
        raise self._error(f"unexpected {word!r}", back=1)

    def _named(self, word: str) -> _Evaluate:
        if word in _CONSTANTS:
            constant = _CONSTANTS[word]
            return lambda _: constant
        if word in ("has", "size") and self._takes("("):
            inside = self._any()
            self._expect(")")
            if word == "has":
                return lambda v: inside(v) is not None
            return lambda v: _size(inside(v))
        if word not in self._variables:
            known = ", ".join(sorted(self._variables))
            raise self._error(f"undeclared reference to {word!r} (there are: {known})", back=1)
        return lambda v: v.get(word)

    def _list(self) -> _Evaluate:
        items: list[_Evaluate] = []
        while not self._takes("]"):
            if items:
                self._expect(",")
            items.append(self._any())
        return lambda v: [item(v) for item in items]

    # --- tokens ---------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _takes(self, sign: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][:2] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            found = repr(self._peek()) if self._peek() else "the end"
            raise self._error(f"expected {sign!r}, not {found}")

    def _name(self) -> str:
        kind, word = self._next()
        if kind != "name":
            raise self._error(f"expected a field, not {word!r}", back=1)
        return word

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise self._error("unexpected end")
        kind, word, _ = self._tokens[self._at]
        self._at += 1
        return kind, word

    def _error(self, why: str, back: int = 0) -> ExpressionError:
        at = self._at - back
        column = self._tokens[at][2] if at < len(self._tokens) else len(self._text)
        return ExpressionError(f"{why} at character {column + 1}")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, word, where) of each."""
    found: list[tuple[str, str, int]] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"cannot read {text[at : at + 10]!r} at character {at + 1}")
        kind = match.lastgroup or ""
        word = match[kind]
        found.append(("sign" if word == "in" else kind, word, match.start(kind)))
        at = match.end()
    return found


def _step(subject: _Evaluate, name: str) -> _Evaluate:
    def step(v: Variables) -> Any:
        value = subject(v)
        return value.get(name) if isinstance(value, dict) else None

    return step


def _index(subject: _Evaluate, key: _Evaluate) -> _Evaluate:
    def index(v: Variables) -> Any:
        value, at = subject(v), key(v)
        if isinstance(value, dict) and isinstance(at, str):
            return value.get(at)
        if isinstance(value, list) and type(at) is int and 0 <= at < len(value):
            return value[at]
        return None

    return index


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict | list | str) else 0


def _is_in(value: Any, holder: Any) -> bool:
    return isinstance(holder, dict | list) and value in holder if _is_plain(value) else False


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if compare in (_COMPARISONS["=="], _COMPARISONS["!="]):
        return compare(left, right)
    if left is None or right is None:
        return False
    try:
        return compare(left, right)
    except TypeError:
        return False  # a number and a text
