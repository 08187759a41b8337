"""How much of the past is kept, as it is said and written down."""

from __future__ import annotations

import pytest

from podium.api.history_limit import DEFAULT, HistoryLimit, parse_history_limit


@pytest.mark.parametrize("text", ["24h,100000", "1d,100000", "90m,5000", "10m,1000", "45s,9000000"])
def test_what_is_written_down_is_read_as_it_was(text: str) -> None:
    if text.startswith("45s"):
        with pytest.raises(ValueError, match="at least 10m"):
            parse_history_limit(text)
        return
    limit = parse_history_limit(text)
    assert parse_history_limit(str(limit)) == limit


def test_what_is_not_said_is_the_defaults() -> None:
    assert parse_history_limit("7d") == HistoryLimit(7 * 86400, DEFAULT.changes)
    assert parse_history_limit("5000") == HistoryLimit(DEFAULT.age_s, 5000)


@pytest.mark.parametrize("text", ["", "much", "24h;5", "5", "-1", "999999999999", "1h,2h,x"])
def test_what_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"history of|no duration"):
        parse_history_limit(text)
