"""Every lesson of docs/lessons runs as it is written: its commands, its check, its clean-up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.lessons.path import Lesson, lessons
from tests.support.cluster import PATIENCE, Cluster, running_cluster

HOUSE = Path(__file__).parents[2]
BOUND_S = 60


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that nobody has learned in; one lesson kills its components."""
    with running_cluster(tmp_path_factory.mktemp("lessons")) as cluster:
        yield cluster


@pytest.mark.parametrize("lesson", lessons(), ids=lambda one: one.checks_name)
def test_lesson_runs_as_it_is_written(cluster: Cluster, lesson: Lesson) -> None:
    number = str(lesson.number)
    before = cluster.podium("lesson", "check", number, check=False)
    assert before.returncode == 1
    assert "✗ " in before.stdout

    shown = _run_as_written(cluster, lesson)

    assert f"lesson {number} passed" in shown
    assert "✗" not in shown
    assert cluster.kubectl("get", "ns", lesson.namespace, check=False).returncode == 1
    row = cluster.podium("lesson").stdout.splitlines()[lesson.number]
    assert "passed" in row


def _run_as_written(cluster: Cluster, lesson: Lesson) -> str:
    """What the lesson's commands print, run in one shell as a reader would type them."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lesson.commands)],
        env=cluster.environment(),
        cwd=HOUSE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_S * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
