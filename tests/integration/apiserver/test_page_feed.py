"""/ui/feed: one snapshot, then what changes, cut down to what the picture needs."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.apiserver.plain_http import Api, a_new_pod

Change = tuple[str, str, dict[str, Any] | None]


class Feed:
    """A browser's side of the stream."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        assert answer.headers["Content-Type"].startswith("text/event-stream")

    def message(self) -> Any:
        """The next one's data; comments and other fields are passed over."""
        while not (line := self._answer.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return json.loads(line.removeprefix(b"data: "))

    def until(self, kind: str, name: str) -> dict[str, Any]:
        """The next record of an object."""
        while True:
            for found, _, record in self.message():
                if record and (found, record["name"]) == (kind, name):
                    return dict(record)


@contextmanager
def looking(api: Api) -> Iterator[Feed]:
    connection = api.connect()
    connection.request("GET", "/ui/feed")
    try:
        yield Feed(connection.getresponse())
    finally:
        connection.close()


def test_it_begins_with_what_there_is_and_tells_what_changes(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod("before"))
    with looking(api) as feed:
        pods = {pod["name"]: pod for pod in feed.message()["pods"] if ns.endswith(pod["ns"])}
        assert pods["before"]["reason"] == "Pending"
        api.post(f"{ns}/pods", a_new_pod("after", nodeName="node-9"))
        born = feed.until("pods", "after")
        assert (born["node"], born["ready"], born["containers"]) == ("node-9", False, 1)
        running = {"status": {"phase": "Running", "podIP": "10.1.2.3"}}
        assert api.patch(f"{ns}/pods/after/status", running).code == 200
        assert feed.until("pods", "after")["ip"] == "10.1.2.3"
        api.delete(f"{ns}/pods/after?gracePeriodSeconds=0")
        assert ["pods", born["uid"], None] in feed.message()


def test_everybody_is_told_the_same(api: Api, ns: str) -> None:
    with looking(api) as first, looking(api) as second:
        first.message(), second.message()
        api.post(f"{ns}/pods", a_new_pod("shared"))
        assert first.until("pods", "shared") == second.until("pods", "shared")


def test_who_may_not_see_everything_gets_no_feed(api: Api) -> None:
    with Api(api.server, "node-node-1") as node:
        answer = node.get("/ui/feed")
        assert (answer.code, answer.reason) == (403, "Forbidden")


def test_an_address_of_a_view_is_the_page_and_its_files_are_kept_for_good(api: Api) -> None:
    page = api.get("/ui/objects/pods")
    assert page.code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not any(word in policy for word in ("unsafe", "*", "http"))
    script = page.raw.decode().partition('type="module" src="')[2].partition('"')[0]
    file = api.get(script)
    assert file.code == 200
    assert "immutable" in file.headers["Cache-Control"]
    assert file.headers["Content-Type"].startswith("text/javascript")
    assert api.get(script.replace("main.js", "../page.py")).code == 404
