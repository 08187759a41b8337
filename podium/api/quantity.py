"""Kubernetes' quantities: "500m", "64Mi", "1e3", 2. Source: API reference, Quantity."""

from __future__ import annotations

import re
from fractions import Fraction

_FORMAT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")
_BINARY = {f"{c}i": Fraction(1024 ** (i + 1)) for i, c in enumerate("KMGTPE")}
_DECIMAL = {c: Fraction(1000) ** (i - 3) for i, c in enumerate("num kMGTPE") if c != " "}

WORDING = (
    "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


class QuantityError(ValueError):
    """Not a quantity; the message is Kubernetes' own."""


def parse(value: str | int | float) -> Fraction:
    """The exact number; raises QuantityError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(WORDING)
    match = _FORMAT.fullmatch(str(value))
    if match is None:
        raise QuantityError(WORDING)
    number, suffix = Fraction(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    if suffix:
        exponent = int(suffix[1:])
        if abs(exponent) > 100:
            raise QuantityError(WORDING)
        return number * Fraction(10) ** exponent
    return number


def _ceil(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def cpu_millicores(value: str | int | float) -> int:
    """ "500m" → 500, "1.5" → 1500; rounded up, as Kubernetes does."""
    return _ceil(parse(value) * 1000)


def memory_bytes(value: str | int | float) -> int:
    """ "64Mi" → 67108864; rounded up."""
    return _ceil(parse(value))


def canonical(value: str | int | float) -> str:
    """The shortest form that says the same, keeping the kind of suffix: "1024Mi" → "1Gi", "0.5" →
    "500m"."""
    number = parse(value)
    if number == 0:
        return "0"
    text = str(value)
    if text.endswith("i") and number.denominator == 1:
        return _with_suffix(number, [(s, f) for s, f in reversed(_BINARY.items())])
    if "e" in text or (text[-1:] != "E" and "E" in text):
        return _exponent(number)
    return _with_suffix(number, [(s, f) for s, f in reversed(_DECIMAL.items()) if f > 1], small=True)


def _with_suffix(number: Fraction, scale: list[tuple[str, Fraction]], *, small: bool = False) -> str:
    for suffix, factor in scale:
        if (number / factor).denominator == 1:
            return f"{(number / factor).numerator}{suffix}"
    if number.denominator == 1 or not small:
        return str(_ceil(number))
    for suffix in "mun":
        if (number / _DECIMAL[suffix]).denominator == 1:
            return f"{(number / _DECIMAL[suffix]).numerator}{suffix}"
    return f"{_ceil(number / _DECIMAL['n'])}n"


def _exponent(number: Fraction) -> str:
    exponent = 0
    while number.denominator == 1 and number % 1000 == 0:
        number, exponent = number / 1000, exponent + 3
    return f"{number.numerator}e{exponent}" if exponent else str(_ceil(number))
