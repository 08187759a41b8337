"""Quantities mean and print what Kubernetes' do."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api import quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
numbers = st.decimals(-(10**6), 10**6, places=4, allow_nan=False).map(lambda d: f"{d:f}")
quantities = st.builds(lambda number, suffix: number + suffix, numbers, st.sampled_from(SUFFIXES))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.1Gi", "107374182400m"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("100m", "100m"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1e3", "1e3"),
        ("100000e0", "100e3"),
        ("15e-4", "1500e-6"),
        ("0Mi", "0"),
        ("-1", "-1"),
        (2, "2"),
        (0.5, "500m"),
        ("1.0000000001", "1000000001n"),
        ("1E", "1E"),
    ],
)
def test_a_quantity_is_written_in_its_canonical_form(written: str | float, canonical: str) -> None:
    assert quantity.canonical(written) == canonical


@pytest.mark.parametrize(
    "text", ["", "five", "1 Gi", "1GB", "--1", "1.2.3", "1e", "m", "٣", "1e99", "9" * 5000, "1Gi\n"]
)
def test_what_is_no_quantity_is_refused_in_kubernetes_words(text: str) -> None:
    with pytest.raises(quantity.QuantityError, match="must match the regular expression"):
        quantity.parse(text)


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_only_strings_and_numbers_are_quantities(value: object) -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.canonical(value)  # type: ignore[arg-type]


def test_cpu_and_memory_are_rounded_up() -> None:
    assert quantity.cpu_millicores("1.5") == 1500
    assert quantity.cpu_millicores("100u") == 1
    assert quantity.memory_bytes("64Mi") == 64 << 20
    assert quantity.memory_bytes("1500m") == 2


@given(quantities)
def test_the_canonical_form_means_the_same_to_the_nano(text: str) -> None:
    difference = quantity.parse(quantity.canonical(text)) - quantity.parse(text)
    assert 0 <= difference < Fraction(1, 10**9)


@given(quantities)
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    once = quantity.canonical(text)
    assert quantity.canonical(once) == once
