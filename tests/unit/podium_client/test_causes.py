"""Why a key waits: which of several causes counts."""

from __future__ import annotations

from podium.client.causes import KEEP, Cause, CauseBook

KEY = "default/web"


def a_cause(rv: int, key: str = KEY, *, is_status: bool = False) -> Cause:
    return Cause(rv, f"{rv:032x}", f"{rv:016x}", key, f"uid of {key}", is_status)


def taken(book: CauseBook, key: str = KEY) -> list[int]:
    book.take(key)
    return [cause.rv for cause in book.taken(key).causes]


def test_what_somebody_wants_of_the_object_itself_counts_most() -> None:
    book = CauseBook()
    book.note(KEY, (a_cause(1),), 0)
    book.note(KEY, (a_cause(2, "default/web-1"),), 0)
    book.note(KEY, (a_cause(3, "default/web-1", is_status=True),), 0)
    book.note(KEY, (a_cause(4, is_status=True),), 0)
    assert taken(book) == [1, 2, 3, 4]


def test_of_equals_the_newest_counts_most() -> None:
    book = CauseBook()
    for rv in (5, 9, 7):
        book.note(KEY, (a_cause(rv, "default/web-1", is_status=True),), 0)
    assert taken(book) == [9, 7, 5]


def test_a_failure_puts_its_causes_back_as_they_were() -> None:
    book = CauseBook()
    book.note(KEY, (a_cause(1),), 0)
    assert taken(book) == [1]
    book.put_back(KEY, has_failed=True)
    book.done(KEY)
    book.note(KEY, (a_cause(2, "default/web-1"),), 0)
    assert taken(book) == [1, 2]


def test_what_was_dealt_with_counts_less_than_what_is_new() -> None:
    book = CauseBook()
    book.note(KEY, (a_cause(1),), 0)
    assert taken(book) == [1]
    book.put_back(KEY, has_failed=False)
    book.done(KEY)
    book.note(KEY, (a_cause(2, "default/web-1", is_status=True),), 0)
    assert taken(book) == [2, 1]


def test_what_is_no_change_leads_back_to_what_was_last_wanted_of_the_object() -> None:
    book = CauseBook()
    book.note(KEY, (a_cause(1),), 0)
    assert taken(book) == [1]
    book.done(KEY)
    book.note(KEY, (a_cause(2, is_status=True),), 0)  # the echo of our own write
    book.note(KEY, (), 0)  # a process has ended
    assert taken(book) == [1, 2]


def test_a_key_that_nothing_has_caused_has_no_cause() -> None:
    book = CauseBook()
    book.note(KEY, (), 7)
    assert taken(book) == []
    assert book.taken(KEY).since_us == 7


def test_a_uid_names_the_object_too() -> None:
    book = CauseBook()
    uid = f"uid of {KEY}"
    book.note(uid, (a_cause(1),), 0)
    book.note(uid, (a_cause(2, "default/settings"),), 0)
    assert taken(book, uid) == [1, 2]


def test_of_many_causes_only_the_ones_that_count_most_are_kept() -> None:
    book = CauseBook()
    book.note(KEY, (a_cause(1),), 0)
    for rv in range(2, 100):
        book.note(KEY, (a_cause(rv, "default/web-1", is_status=True),), 0)
    found = taken(book)
    assert len(found) == KEEP
    assert found[:2] == [1, 99]
