"""Room podium/lessons: runs a lesson's checks, and removes what a lesson made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from podium.client.errors import NotFound
from podium.lessons import record
from podium.lessons.path import Lesson
from podium.lessons.world import Finding, Missing, Outcome, World

PAUSE_S = 0.1
GONE_S = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """What `podium lesson check -o json` prints. `happened` and `because` are told only once all
    findings hold: who has not yet done the lesson shall not read its end."""

    lesson: int
    title: str
    passed: bool
    findings: list[Finding]
    predicted: str | None
    happened: str | None
    because: str


def report(lesson: Lesson, world: World, wait_s: float) -> Report:
    """Check a lesson, and keep in the cluster that it is passed. Raises NotRoot."""
    findings = check(lesson, world, wait_s)
    passed = all(finding.holds for finding in findings)
    happened, because = _happened(lesson, world) if passed else (None, "")
    predicted = record.read(world.client, lesson).get(record.PREDICTED)
    if passed:
        record.note_passed(world.client, lesson)
    return Report(lesson.number, lesson.title, passed, findings, predicted, happened, because)


def check(lesson: Lesson, world: World, wait_s: float) -> list[Finding]:
    """A finding for each thing looked for, the prediction first. Until all hold it looks again
    for `wait_s`, as controllers may be about to act; not if the lesson has not been begun.
    Raises NotRoot."""
    deadline = time.monotonic() + wait_s
    if not _exists(world):
        begun = Finding(
            f"there is a namespace {world.namespace}",
            False,
            f"the lesson has not been begun; read it with: podium lesson {lesson.number}",
        )
        return [_prediction(lesson, world), begun]
    while True:
        found = [_prediction(lesson, world), *_findings(lesson, world)]
        if all(finding.holds for finding in found) or time.monotonic() > deadline:
            return found
        time.sleep(PAUSE_S)


def clean(lesson: Lesson, world: World) -> bool:
    """Remove what the lesson made, and wait until it is gone; whether there was anything."""
    extra: Callable[[World], None] | None = getattr(lesson.checks(), "clean", None)
    if extra is not None:
        extra(world)
    if not _exists(world):
        return False
    _delete_namespace(world)  # first, so that no controller makes Pods anew
    deadline = time.monotonic() + GONE_S
    while _exists(world):
        _hurry(world)
        if time.monotonic() > deadline:
            raise TimeoutError(f"namespace {world.namespace} is still there after {GONE_S:g} s")
        time.sleep(PAUSE_S)
    return True


def _happened(lesson: Lesson, world: World) -> tuple[str | None, str]:
    try:
        outcome: Outcome = lesson.checks().outcome(world)
    except Missing as missing:
        return None, f"what happened cannot be told, unless {missing}: {missing.hint}"
    return outcome.answer, outcome.because


def _findings(lesson: Lesson, world: World) -> Iterator[Finding]:
    try:
        yield from lesson.checks().check(world)
    except Missing as missing:
        yield Finding(str(missing), False, missing.hint)
    except (FileNotFoundError, ProcessLookupError):
        yield Finding("the processes stay while they are looked at", False, "check once more")


def _prediction(lesson: Lesson, world: World) -> Finding:
    answer = record.read(world.client, lesson).get(record.PREDICTED)
    command = f"podium lesson predict {lesson.number} {'|'.join(lesson.answers)}"
    said = f"you predicted {answer}" if answer else "you made a prediction"
    return Finding(said, answer is not None, f"before you look: {command}")


def _exists(world: World) -> bool:
    try:
        world.client.get("namespaces", world.namespace)
    except NotFound:
        return False
    return True


def _hurry(world: World) -> None:
    """Shorten the time that Pods have to say good-bye; most of a lesson's say nothing."""
    for pod in world.all("pods"):
        grace_s = pod["metadata"].get("deletionGracePeriodSeconds")
        if grace_s is None or grace_s > 1:
            with suppress(NotFound):
                world.client.delete("pods", pod["metadata"]["name"], world.namespace, grace_s=1)


def _delete_namespace(world: World) -> None:
    with suppress(NotFound):
        world.client.delete("namespaces", world.namespace)
