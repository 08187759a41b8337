"""Waiting with a bound, for what happens in another thread or process.

PODIUM_TEST_PATIENCE=10 makes every bound ten times as long: an emulated machine needs that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = float(os.environ.get("PODIUM_TEST_PATIENCE", "1"))


def eventually(condition: Callable[[], T], timeout_s: float = 10.0) -> T:
    """Ask until the answer is true, and give it; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout_s:g} s"
        time.sleep(0.005)
    return found
