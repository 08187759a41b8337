"""Room podium/lessons: what a learner predicted and passed, kept in the cluster.

One ConfigMap a lesson, in the namespace "lessons", so that kubectl shows it:
`kubectl -n lessons get configmap lesson-3 -o yaml`. `podium lesson clean` leaves it there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from podium.api.meta import now
from podium.client.errors import AlreadyExists, NotFound
from podium.client.http import Client
from podium.lessons.path import Lesson

NAMESPACE = "lessons"
PREDICTED, PREDICTED_AT, PASSED_AT = "predicted", "predictedAt", "passedAt"


class AlreadyPassed(ValueError):
    """A prediction after the fact."""


def read(client: Client, lesson: Lesson) -> dict[str, str]:
    """{"predicted": "b", "predictedAt": …, "passedAt": …}, as far as it has come."""
    try:
        found = client.get("configmaps", lesson.namespace, NAMESPACE)
    except NotFound:
        return {}
    return dict(found.get("data") or {})


def read_all(client: Client) -> dict[str, dict[str, str]]:
    """The same of every lesson, by the lesson's namespace."""
    listed = client.list("configmaps", NAMESPACE)["items"]
    return {one["metadata"]["name"]: one.get("data") or {} for one in listed}


def predict(client: Client, lesson: Lesson, answer: str) -> None:
    """Keep a prediction; until the lesson is passed it may be changed. Raises AlreadyPassed."""
    if PASSED_AT in read(client, lesson):
        raise AlreadyPassed(
            f"lesson {lesson.number} is passed, and a prediction comes before; "
            f"to do it again: podium lesson clean {lesson.number} --forget"
        )
    _write(client, lesson, {PREDICTED: answer, PREDICTED_AT: now()})


def note_passed(client: Client, lesson: Lesson) -> None:
    """Keep that the lesson is passed, and when it was first."""
    if PASSED_AT not in read(client, lesson):
        _write(client, lesson, {PASSED_AT: now()})


def forget(client: Client, lesson: Lesson) -> None:
    """As if the lesson had never been begun."""
    try:
        client.delete("configmaps", lesson.namespace, NAMESPACE)
    except NotFound:
        return


def _write(client: Client, lesson: Lesson, data: dict[str, Any]) -> None:
    try:
        client.patch("configmaps", lesson.namespace, NAMESPACE, {"data": data})
    except NotFound:
        _make(client, lesson, data)


def _make(client: Client, lesson: Lesson, data: dict[str, Any]) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    meta = {"name": lesson.namespace, "namespace": NAMESPACE}
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    with suppress(AlreadyExists):
        client.create("namespaces", space)
    client.create("configmaps", kept)
