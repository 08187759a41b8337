"""Time travel equals a recording: every state of a thousand random writes, compared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver import listing
from apiserver.database import open_database
from apiserver.storage import Compacted, Record, Store
from apiserver.watch import WatchHub
from podium.api.scheme import resource

KINDS = ("secrets", "nodes", "pods")
NAMESPACES = ("a", "a-b", "b")
NAMES = [f"n{number}" for number in range(12)]
WRITES = 1000

State = dict[tuple[str, str, str], tuple[int, bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    hub = WatchHub()
    store = Store(open_database(f"sqlite:///{tmp_path}/podium.db"), hub.publish)
    hub.begin(store.revisions()[0])
    store.start()
    yield store
    store.stop()


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


def test_what_is_kept_after_a_compaction_still_equals_the_recording(store: Store) -> None:
    recording = Recording(store, seed=6)
    for value in range(200):
        recording.write(value)
    store.compact(120)
    for revision, state in recording.states.items():
        if revision >= 120:
            assert listed(store, "secrets", None, revision) == of(state, "secrets")
    with pytest.raises(Compacted):
        store.get_past("secrets", "a", "n1", 119)
