"""The cache on good and on bad days. The real API server is in test_informer_live.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from podium.client.config import ClientConfig
from podium.client.http import Client
from podium.client.informer import Informer, InformerFactory
from tests.support.scripted_server import (
    CLOSE,
    Request,
    ScriptedServer,
    answer,
    scripted_server,
    stream,
)
from tests.support.waiting import eventually

Object = dict[str, Any]


def a_thing(name: str, rv: int, uid: str | None = None, **labels: str) -> Object:
    meta = {"name": name, "namespace": "lab", "uid": uid or name, "resourceVersion": str(rv)}
    return {"kind": "Pod", "metadata": meta | {"labels": labels}}


def a_list(rv: int, *items: Object) -> bytes:
    return answer({"kind": "PodList", "metadata": {"resourceVersion": str(rv)}, "items": items})


def event(kind: str, obj: Object) -> Object:
    return {"type": kind, "object": obj}


EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}


class Script:
    """Answers LISTs and WATCHes from two rows; the last of each again and again."""

    def __init__(self, lists: list[bytes], watches: list[tuple[Any, ...]]) -> None:
        self.lists, self.watches = lists, watches

    def __call__(self, request: Request) -> bytes | Iterator[bytes]:
        if "watch" not in request.query:
            return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        return stream(*(self.watches.pop(0) if self.watches else ()))


@pytest.fixture
def following() -> Iterator[Any]:
    made: list[tuple[InformerFactory, Client, ScriptedServer]] = []

    def follow(lists: list[bytes], watches: list[tuple[Any, ...]]) -> tuple[Informer, list[str]]:
        server = ScriptedServer(Script(lists, watches))
        client = Client(ClientConfig(server.url))
        factory = InformerFactory(client)
        made.append((factory, client, server))
        informer, told = factory.informer("pods"), []
        informer.add_handler(
            lambda new: told.append(f"+{new['metadata']['name']}"),
            lambda _, new: told.append(f"~{new['metadata']['name']}"),
            lambda old: told.append(f"-{old['metadata']['name']}"),
        )
        informer.server = server  # type: ignore[attr-defined]
        factory.start()
        assert informer.wait_synced(10)
        return informer, told

    yield follow
    for factory, client, server in made:
        factory.stop()
        client.close()
        server.close()


def test_a_list_and_then_a_watch_fill_the_cache(following: Any) -> None:
    changes = (event("ADDED", a_thing("b", 2)), event("MODIFIED", a_thing("a", 3)))
    informer, told = following(
        [a_list(1, a_thing("a", 1))], [(*changes, event("DELETED", a_thing("b", 4)))]
    )
    eventually(lambda: told == ["+a", "+b", "~a", "-b"])
    assert [obj["metadata"]["resourceVersion"] for obj in informer.list("lab")] == ["3"]
    assert informer.get("lab/b") is None


def test_a_broken_watch_is_taken_up_where_it_ended(following: Any) -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    informer, told = following(
        [a_list(1)], [(bookmark, CLOSE), (event("ADDED", a_thing("a", 10)),)]
    )
    eventually(lambda: told == ["+a"])
    queries = [r.query for r in informer.server.requests]
    assert [q.get("resourceVersion") for q in queries] == [None, "1", "9"]


def test_an_expired_version_means_a_new_list_and_its_differences_are_told(following: Any) -> None:
    first = a_list(1, a_thing("a", 1), a_thing("b", 1))
    second = a_list(5, a_thing("b", 4), a_thing("c", 5))
    informer, told = following([first, second], [(EXPIRED,)])
    eventually(lambda: len(told) == 5)
    assert told == ["+a", "+b", "-a", "~b", "+c"]
    assert {obj["metadata"]["name"] for obj in informer.list()} == {"b", "c"}


def test_what_was_deleted_and_made_anew_meanwhile_is_told_as_both(following: Any) -> None:
    lists = [a_list(1, a_thing("a", 1, uid="u1")), a_list(5, a_thing("a", 5, uid="u2"))]
    _, told = following(lists, [(EXPIRED,)])
    eventually(lambda: told == ["+a", "-a", "+a"])


def test_an_index_follows_changes(following: Any) -> None:
    changes = (event("MODIFIED", a_thing("a", 3, app="y")),)
    informer, told = following([a_list(1, a_thing("a", 1, app="x"))], [changes])
    informer.add_index("app", lambda obj: [obj["metadata"]["labels"].get("app")])
    eventually(lambda: told == ["+a", "~a"])
    assert informer.by_index("app", "x") == []
    assert [obj["metadata"]["name"] for obj in informer.by_index("app", "y")] == ["a"]


def test_a_late_handler_is_told_what_is_there(following: Any) -> None:
    informer, _ = following([a_list(1, a_thing("a", 1))], [])
    late: list[str] = []
    informer.add_handler(on_add=lambda new: late.append(new["metadata"]["name"]))
    assert late == ["a"]


def test_a_handler_that_fails_stops_nobody(following: Any, caplog: Any) -> None:
    informer, told = following([a_list(1)], [(event("ADDED", a_thing("a", 2)),)])
    informer.add_handler(on_add=lambda new: new["no such key"])
    eventually(lambda: told == ["+a"])
    assert eventually(lambda: informer.get("lab/a"))


def test_a_server_that_is_killed_and_comes_back_is_rejoined(following: Any) -> None:
    informer, told = following([a_list(1)], [])
    port = informer.server.port
    eventually(lambda: len(informer.server.requests) == 2)
    informer.server.close()
    with scripted_server(Script([a_list(9)], [(event("ADDED", a_thing("a", 2)),)]), port):
        eventually(lambda: told == ["+a"], timeout_s=2)
        informer.stop()


def test_stop_ends_an_idle_watch_at_once(following: Any) -> None:
    informer, _ = following([a_list(1)], [])
    eventually(lambda: len(informer.server.requests) == 2)
    informer.stop()
    assert not [t for t in threading.enumerate() if t.name == "informer-pods"]


def test_one_kind_is_followed_once_however_many_ask() -> None:
    factory = InformerFactory(Client(ClientConfig("http://127.0.0.1:1")))
    assert factory.informer("pods") is factory.informer("po")
    assert factory.informer("pods") is not factory.informer("pods", "spec.nodeName=a")
