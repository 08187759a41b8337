"""Time travel equals a recording: every state of a thousand random writes, compared."""

from __future__ import annotations

import random

import gevent
import pytest
from sqlalchemy import select

from apiserver import listing
from apiserver.models import changes
from apiserver.storage import Change, Compacted, Record, Store
from podium.api.scheme import resource

KINDS = ("secrets", "nodes", "pods")
NAMESPACES = ("a", "a-b", "b")
NAMES = [f"n{number}" for number in range(12)]
WRITES = 1000

State = dict[tuple[str, str, str], tuple[int, bytes]]


class Recording:
    """Writes at random, and keeps every state."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._random = store, random.Random(seed)
        self._records: dict[tuple[str, str, str], Record] = {}
        self.states: dict[int, State] = {store.revisions()[0]: {}}

    def write(self, value: int) -> None:
        kind = self._random.choice(KINDS)
        namespace = "" if kind == "nodes" else self._random.choice(NAMESPACES)
        key = (kind, namespace, self._random.choice(NAMES))
        before = self._records.get(key)
        is_delete = before is not None and self._random.random() < 0.4
        obj = before.object if is_delete and before else _an_object(key, value)
        after = self._store.write(kind, obj, before, is_delete=is_delete)
        self._records.pop(key, None) if is_delete else self._records.update({key: after})
        self.states[after.rv] = {k: (r.rv, r.body) for k, r in self._records.items()}


def _an_object(key: tuple[str, str, str], value: int) -> dict:
    metadata = {"name": key[2], "namespace": key[1], "uid": f"u{value}",
                "labels": {"odd": str(value % 2)}}  # fmt: skip
    return {"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "value": value}


def of(state: State, kind: str, namespace: str | None = None) -> list[tuple[str, int, bytes]]:
    found = sorted(item for item in state.items() if item[0][0] == kind)
    return [(name, *stored) for (_, ns, name), stored in found if namespace in (None, ns)]


def listed(store: Store, kind: str, namespace: str | None, at: int) -> list[tuple[str, int, bytes]]:
    """In pages of four."""
    after, found = ("", ""), []
    while True:
        filter_ = listing.Filter(namespace)
        page = listing.select(store, resource(kind), filter_, 4, after=after, at=at)
        found += [(r.name, r.rv, r.body) for r in page.records]
        if page.next_after is None:
            return found
        after = page.next_after


def test_time_travel_equals_a_recording_of_a_thousand_random_writes(store: Store) -> None:
    recording = Recording(store, seed=4)
    for value in range(WRITES):
        recording.write(value)
    assert len(recording.states) == WRITES + 1
    keys, one = sorted({key for state in recording.states.values() for key in state}), []
    for revision, state in recording.states.items():
        for kind in KINDS:
            whole = listing.select(store, resource(kind), listing.Filter(None), 0, at=revision)
            assert [(r.name, r.rv, r.body) for r in whole.records] == of(state, kind)
        assert listed(store, "secrets", "a", revision) == of(state, "secrets", "a")
        one = one or keys[:]
        key = one.pop()
        found = store.get_past(*key, revision)
        assert (found and (found.rv, found.body)) == state.get(key)


def test_what_is_kept_after_compactions_still_equals_the_recording(store: Store) -> None:
    recording = Recording(store, seed=6)
    kept = [40, 41, 90, 160, 200]
    for value in range(260):
        recording.write(value)
        if value in (50, 100, 210):
            store.compact(kept.pop(0))
    for oldest in kept:
        store.compact(oldest)
        for revision, state in recording.states.items():
            if revision >= oldest:
                assert listed(store, "secrets", None, revision) == of(state, "secrets")
                log = store.changes_after("pods", revision, revision + 1, 5)
                assert [c.prev for c in log] == [_body_before(recording, c) for c in log]
    with pytest.raises(Compacted):
        store.get_past("secrets", "a", "n1", oldest - 1)


def _body_before(recording: Recording, change: Change) -> bytes | None:
    before = recording.states[change.rv - 1].get(("pods", change.namespace, change.name))
    return before and before[1]


def test_a_compaction_among_writes_loses_nothing(store: Store) -> None:
    recording = Recording(store, seed=7)
    for value in range(60):
        recording.write(value)
    last = store.revisions()[0]
    racers = [gevent.spawn(recording.write, 1000), gevent.spawn(store.compact, last),
              gevent.spawn(recording.write, 1001)]  # fmt: skip
    gevent.joinall(racers, timeout=20, raise_error=True)
    for kind in KINDS:
        assert listed(store, kind, None, last) == of(recording.states[last], kind)


def test_the_body_before_a_change_is_kept_once(store: Store) -> None:
    first = store.write("secrets", _an_object(("secrets", "a", "x"), 1), None)
    second = store.write("secrets", first.object, first)
    store.compact(second.rv)
    third = store.write("secrets", second.object, second)
    store.write("secrets", third.object, third)
    rows = store.read(lambda c: c.execute(select(changes.c.rv, changes.c.prev)).all())
    assert [(rv, prev) for rv, prev in rows] == [(third.rv, second.body), (third.rv + 1, None)]


def test_long_bodies_are_packed_and_come_back_as_they_were(store: Store) -> None:
    obj = _an_object(("secrets", "a", "x"), 1) | {"data": {"text": "a long text " * 500}}
    first = store.write("secrets", obj, None)
    store.write("secrets", first.object, first, is_delete=True)
    (packed,) = store.read(lambda c: c.execute(select(changes.c.body).limit(1)).one())
    assert len(packed) < len(first.body) / 10
    past = store.get_past("secrets", "a", "x", first.rv)
    assert past is not None
    assert past.body == first.body
