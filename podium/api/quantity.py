"""Kubernetes' quantities: "500m", "64Mi", "1e3", 2. Source: API reference, Quantity."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_FORMAT = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?", re.A
)
_BINARY = {f"{c}i": Fraction(1024 ** (i + 1)) for i, c in enumerate("KMGTPE")}
_DECIMAL = {c: Fraction(1000) ** (i - 3) for i, c in enumerate("num kMGTPE") if c != " "}

_MAX_LENGTH = 64
_MAX_EXPONENT = 60

WORDING = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


class QuantityError(ValueError):
    """Not a quantity; the message is Kubernetes' own."""


def parse(value: str | int | float) -> Fraction:
    """The exact number; raises QuantityError."""
    return _parsed(_as_text(value))


def cpu_millicores(value: str | int | float) -> int:
    """ "500m" → 500, "1.5" → 1500; rounded up, as Kubernetes does."""
    return _ceil(parse(value) * 1000)


def memory_bytes(value: str | int | float) -> int:
    """ "64Mi" → 67108864; rounded up."""
    return _ceil(parse(value))


def canonical(value: str | int | float) -> str:
    """The shortest form that says the same, keeping the kind of suffix: "1024Mi" → "1Gi", "0.5" →
    "500m". What is finer than a nano is rounded up."""
    return _canonical(_as_text(value))


def _as_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(WORDING)
    text = str(value)
    if len(text) > _MAX_LENGTH:
        raise QuantityError(WORDING)
    return text


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Fraction:
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise QuantityError(WORDING)
    number, suffix = Fraction(match[1]), match[2] or ""
    scale = _BINARY.get(suffix) or _DECIMAL.get(suffix)
    if scale is not None:
        return number * scale
    if not suffix:
        return number
    exponent = int(suffix[1:])
    if abs(exponent) > _MAX_EXPONENT:
        raise QuantityError(WORDING)
    return number * Fraction(10) ** exponent


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    number = _parsed(text)
    number = Fraction(_ceil(number * 10**9), 10**9)
    if number == 0:
        return "0"
    if text.endswith("i") and number.denominator == 1:
        return _suffixed(number, _BINARY)
    if re.search(r"[eE][+-]?\d+$", text):
        return _exponent(number)
    return _suffixed(number, _DECIMAL)


def _suffixed(number: Fraction, scale: dict[str, Fraction]) -> str:
    """With the largest suffix that leaves no fraction; "" counts as one."""
    factors = {**scale, "": Fraction(1)}
    for suffix, factor in sorted(factors.items(), key=lambda s: s[1], reverse=True):
        scaled = number / factor
        if scaled.denominator == 1:
            return f"{scaled.numerator}{suffix}"
    raise AssertionError(f"{number} is finer than a nano")  # rounded to nanos by the caller


def _exponent(number: Fraction) -> str:
    exponent = 0
    while number.denominator != 1:
        number, exponent = number * 1000, exponent - 3
    while number % 1000 == 0:
        number, exponent = number / 1000, exponent + 3
    return f"{number.numerator}e{exponent}" if exponent else str(number.numerator)


def _ceil(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)
