"""Moments of the past, as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from podium.api.moments import parse_duration, parse_moment

NOW = datetime(2026, 11, 25, 23, 40, tzinfo=UTC)


def test_a_number_is_a_revision() -> None:
    assert parse_moment("812", NOW) == 812


@pytest.mark.parametrize("text", ["5m ago", "300s ago", " 5m  ago ", "0.5m ago", "4m60s ago"])
def test_how_long_ago_is_counted_from_now(text: str) -> None:
    expected = timedelta(seconds=30) if text.startswith("0.5") else timedelta(minutes=5)
    assert parse_moment(text, NOW) == NOW - expected


def test_times_have_a_zone() -> None:
    assert parse_moment("2026-11-25T23:40:00Z", NOW) == NOW
    assert parse_moment("2026-11-26T00:40:00.5+01:00", NOW) == NOW + timedelta(seconds=0.5)
    assert parse_moment("2026-11-26T00:40:00 01:00", NOW) == NOW  # a "+" that a URL has eaten
    with pytest.raises(ValueError, match="has no time zone"):
        parse_moment("2026-11-25T23:40:00", NOW)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "5m", "5 m ago", "5y ago", "٣"])
def test_what_cannot_be_understood_says_what_can(text: str) -> None:
    with pytest.raises(ValueError, match=r"no duration such as|neither a revision"):
        parse_moment(text, NOW)


def test_durations_add_up() -> None:
    assert parse_duration("1d1h1m1.5s") == 86400 + 3600 + 60 + 1.5
    with pytest.raises(ValueError, match="longer than a century"):
        parse_duration("99999d")
