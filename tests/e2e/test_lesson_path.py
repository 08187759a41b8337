"""Every lesson of docs/lessons runs as it is written: its commands, its check, its clean-up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.lessons.path import Lesson, lessons
from tests.support.cluster import PATIENCE, Cluster, running_cluster

HOUSE = Path(__file__).parents[2]
BOUND_S = 100
HALF_DONE = "--- what comes next has not happened yet"


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
    assert "has not been begun" in before.stdout

    halfway, shown = _run_as_written(cluster, lesson)

    assert "✓ you predicted a" in halfway
    assert "✗" in halfway
    assert f"lesson {number} passed" in shown
    assert "✗" not in shown
    assert cluster.kubectl("get", "ns", lesson.namespace, check=False).returncode == 1
    assert "passed" in cluster.podium("lesson").stdout.splitlines()[lesson.number]


def test_a_prediction_comes_before_and_may_be_forgotten(cluster: Cluster) -> None:
    cluster.podium("lesson", "clean", "2", "--forget")
    cluster.podium("lesson", "predict", "2", "a")
    cluster.podium("lesson", "predict", "2", "c")
    kept = cluster.kubectl("-n", "lessons", "get", "configmap", "lesson-2", "-o", "yaml").stdout
    assert "predicted: c" in kept
    done = cluster.podium("lesson", "check", "2", "-o", "json", check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"], report["predicted"]) == (1, False, "c")
    assert report["happened"] is None
    cluster.podium("lesson", "clean", "2")
    listed = json.loads(cluster.podium("lesson", "-o", "json").stdout)
    assert listed[1] == {"lesson": 2, "title": "Namespaces"}


def test_who_has_passed_does_not_predict(cluster: Cluster) -> None:
    data = '{"data": {"predicted": "a", "passedAt": "2026-01-01T00:00:00Z"}}'
    cluster.podium("lesson", "clean", "3", "--forget")
    cluster.podium("lesson", "predict", "3", "a")
    cluster.kubectl("-n", "lessons", "patch", "configmap", "lesson-3", "--type=merge", "-p", data)
    done = cluster.podium("lesson", "predict", "3", "b", check=False)
    assert done.returncode == 1
    assert "podium lesson clean 3 --forget" in done.stderr


def _run_as_written(cluster: Cluster, lesson: Lesson) -> tuple[str, str]:
    """Run the lesson's commands in one shell, as a reader would type them. What is printed before
    the decisive step, with a check at that moment, and after it."""
    at = 1 + next(i for i, block in enumerate(lesson.commands) if "lesson predict" in block)
    too_early = f"if podium lesson check {lesson.number} --wait 0; then exit 3; fi"
    script = [*lesson.commands[:at], too_early, f"echo '{HALF_DONE}'", *lesson.commands[at:]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],
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
    halfway, _, after = done.stdout.partition(HALF_DONE)
    return halfway, after
