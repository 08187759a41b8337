"""The store and its clock jobs, in this process, on a real database file."""

from __future__ import annotations

import time
from pathlib import Path

import gevent
import pytest
from sqlalchemy import update

from apiserver import listing
from apiserver.clock_jobs import EVENT_LIFETIME_S, ClockJobs
from apiserver.database import open_database
from apiserver.errors import ApiError, Conflicted
from apiserver.models import causes, moments
from apiserver.storage import Change, Compacted, Span, Store
from podium.api.history_limit import KEPT_FOR_WATCHES_S, HistoryLimit
from podium.api.scheme import resource

SECRETS = resource("secrets")


def an_object(name: str, value: str = "", kind: str = "Secret") -> dict:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "value": value}


def names(store: Store, at: int | None = None) -> list[str]:
    pages = listing.pages(store, SECRETS, listing.Filter("ns"), at=at)
    return [f"{r.name}={r.object['value']}" for page in pages for r in page.records]


def let_time_pass(store: Store, seconds: int) -> None:
    store.run_task(lambda c: c.execute(update(moments).values(at=moments.c.at - seconds)))
    by_us = seconds * 1_000_000
    store.run_task(lambda c: c.execute(update(causes).values(at=causes.c.at - by_us)))


def test_every_past_state_can_be_listed(store: Store) -> None:
    a = store.write("secrets", an_object("a", "1"), None)
    b = store.write("secrets", an_object("b", "1"), None)
    a2 = store.write("secrets", an_object("a", "2"), a)
    store.write("secrets", b.object, b, is_delete=True)
    last = store.write("secrets", an_object("c", "1"), None)
    assert names(store, a.rv) == ["a=1"]
    assert names(store, b.rv) == ["a=1", "b=1"]
    assert names(store, a2.rv) == ["a=2", "b=1"]
    assert names(store, last.rv) == names(store) == ["a=2", "c=1"]


def test_only_one_of_two_writers_wins_and_the_loser_takes_no_revision(store: Store) -> None:
    first = store.write("secrets", an_object("a", "1"), None)
    racers = [
        gevent.spawn(store.write, "secrets", an_object("a", str(n)), first) for n in range(2, 12)
    ]
    gevent.joinall(racers, timeout=10)
    lost = [racer.exception for racer in racers if racer.exception is not None]
    assert len(lost) == 9
    assert all(isinstance(error, Conflicted) for error in lost)
    assert store.revisions()[0] == first.rv + 1


def test_changes_are_published_in_order_without_gaps(tmp_path: Path) -> None:
    seen: list[Change] = []
    store = Store(open_database(f"sqlite:///{tmp_path}/podium.db"), seen.extend)
    store.start()
    writers = [gevent.spawn(store.write, "secrets", an_object(f"n{n}"), None) for n in range(300)]
    gevent.joinall(writers, timeout=20)
    store.stop()
    assert [change.rv for change in seen] == list(range(2, 302))


def test_what_is_compacted_is_gone_for_watches_and_pages(store: Store) -> None:
    old = store.write("secrets", an_object("a", "1"), None)
    new = store.write("secrets", an_object("a", "2"), old)
    store.compact(old.rv)
    assert [c.rv for c in store.changes_after("secrets", old.rv, new.rv, 10)] == [new.rv]
    with pytest.raises(Compacted):
        store.changes_after("secrets", old.rv - 1, new.rv, 10)
    with pytest.raises(Compacted):
        store.page(Span("secrets", "ns", size=10), old.rv - 1)
    error = listing.expired_token(("ns", "a"))
    assert error.code == 410
    assert listing.read_token(error.body["metadata"]["continue"]) == (None, ("ns", "a"))


def test_the_log_is_kept_for_as_long_as_was_said(store: Store) -> None:
    jobs = ClockJobs(store, HistoryLimit(age_s=3600))
    first = store.write("secrets", an_object("a"), None)
    jobs.note_moment()
    let_time_pass(store, 3500)
    second = store.write("secrets", an_object("b"), None)
    jobs.note_moment()
    jobs.compact()
    assert store.revisions()[1] == 0
    let_time_pass(store, 200)
    jobs.compact()
    assert store.revisions()[1] == first.rv
    let_time_pass(store, 3500)
    jobs.compact()
    assert store.revisions()[1] == second.rv


def test_the_log_keeps_as_many_changes_as_was_said_but_none_that_a_watch_may_need(
    store: Store,
) -> None:
    jobs = ClockJobs(store, HistoryLimit(changes=10))
    for number in range(30):
        last = store.write("secrets", an_object(f"s{number}"), None)
    jobs.note_moment()
    jobs.compact()
    assert store.revisions()[1] == 0
    let_time_pass(store, int(KEPT_FOR_WATCHES_S) + 1)
    jobs.compact()
    assert store.revisions()[1] == last.rv - 10


def test_events_expire_an_hour_after_they_were_written(store: Store) -> None:
    jobs = ClockJobs(store)
    store.write("events", an_object("old", kind="Event"), None)
    again = store.write("events", an_object("again", kind="Event"), None)
    jobs.note_moment()
    let_time_pass(store, EVENT_LIFETIME_S + 1)
    store.write("events", an_object("again", "2", kind="Event"), again)
    store.write("events", an_object("new", kind="Event"), None)
    jobs.expire_events()
    page = store.page(Span("events", "ns", size=10), None)
    assert [record.name for record in page.records] == ["again", "new"]


def test_a_revision_of_a_time_is_the_last_one_noted_before_it(store: Store) -> None:
    now = int(time.time())
    assert store.revision_at(now) == 0
    record = store.write("secrets", an_object("a"), None)
    store.note_moment(now - 100)
    assert (store.revision_at(now - 101), store.revision_at(now)) == (0, record.rv)


def test_a_token_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(ApiError, match="continue key is not valid"):
        listing.read_token("bm9uc2Vuc2U")
