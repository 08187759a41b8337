"""The suite leaves the machine as it found it: checked when the last test has run."""

from __future__ import annotations

import compileall
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
ROOMS = ("podium", "apiserver", "controllers", "kubelet", "migrations")
SETTLE_S = 10.0  # processes that were just killed, cgroups that are just being removed


def pytest_sessionstart() -> None:
    """Compile the house once: its processes are started thousands of times, and each would do that
    for itself where PYTHONDONTWRITEBYTECODE is set."""
    for room in ROOMS:
        compileall.compile_dir(HOUSE / room, quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real namespaces and cgroups need root; the tests say so instead of failing in a hundred
    ways."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.path.match("tests/node/**") or item.path.match("tests/e2e/*"):
            item.add_marker(
                pytest.mark.skip(reason="needs root: it makes namespaces, cgroups, mounts")
            )


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    from tests.support.leftovers import everything

    before = everything()
    yield
    deadline = time.monotonic() + SETTLE_S
    while (left := everything() - before) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "the suite left behind:\n" + "\n".join(sorted(left))
