"""Writes as a debugger shows them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from podium.client.debug_writes import Target, changes, outcome_of, step_of
from podium.client.debugger import MOST_BYTES, bounded
from podium.client.errors import Conflict, NotFound

Object = dict[str, Any]
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "lab"}}


class Server:
    """Answers each request with what a test has laid down, and notes what was asked."""

    def __init__(self, **answers: Object) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(
        self, method: str, path: str, query: Any = None, body: Any = None, content_type: str = ""
    ) -> Object:
        self.asked.append((method, path, query))
        if method not in self.answers:
            raise NotFound(404, "NotFound", "not found")
        return self.answers[method]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/namespaces/lab/pods/web/binding", ("pods", "lab", "web", "binding")),
        ("/apis/apps/v1/namespaces/lab/deployments", ("deployments.apps", "lab", "", "")),
        ("/api/v1/namespaces/lab/finalize", ("namespaces", "", "lab", "finalize")),
        ("/api/v1/nodes/a", ("nodes", "", "a", "")),
    ],
)
def test_a_path_says_what_is_written(path: str, found: tuple[str, ...]) -> None:
    target = Target(path)
    assert (target.resource.key, target.namespace, target.name, target.subresource) == found


def test_what_a_write_would_change_is_asked_of_the_server() -> None:
    server = Server(
        GET={**POD, "spec": {"replicas": 1, "same": True}},
        PATCH={**POD, "spec": {"replicas": 4, "same": True}},
    )
    path = "/api/v1/namespaces/lab/pods/web"
    step = step_of(server, "PATCH", path, {}, b'{"spec":{"replicas":4}}', "application/json")
    assert step is not None
    assert step.rehearse is not None
    found, more = changes(*step.rehearse(), 10)
    assert (found, more) == ([{"path": "spec.replicas", "from": 1, "to": 4}], 0)
    assert server.asked[-1] == ("PATCH", path, {"dryRun": "All"})


def test_a_secret_is_never_shown() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "c3dvcmRmaXNo"}}
    noted = {"annotations": {"last": "swordfish"}}
    body = orjson.dumps({**secret, "metadata": {"name": "s", **noted}})
    before = {**secret, "data": {"key": "b2xk"}}
    step = step_of(
        Server(), "PUT", "/api/v1/namespaces/lab/secrets/s", {}, body, "application/json"
    )
    assert step is not None
    found, _ = changes(before, {**secret, "metadata": {"name": "s", **noted}}, 10)
    assert {one["path"] for one in found} == {"data.key", "metadata.annotations"}
    for shown in (step.body, found):
        assert "swordfish" not in str(shown)
        assert "c3dvcmRmaXNo" not in str(shown)
        assert "b2xk" not in str(shown)


def test_a_token_is_not_even_asked_for() -> None:
    path = "/api/v1/namespaces/lab/serviceaccounts/default/token"
    server = Server()
    assert step_of(server, "POST", path, {}, b"{}", "application/json") is None
    assert server.asked == []


def test_what_comes_to_be_or_goes_is_no_change() -> None:
    assert changes(None, POD, 10) == ([], 0)
    assert changes(POD, None, 10) == ([], 0)


def test_more_changes_than_are_shown_are_counted() -> None:
    after = {**POD, "spec": {str(number): number for number in range(20)}}
    found, more = changes({**POD, "spec": {"x": 1}}, after, 5)
    assert (len(found), more) == (5, 16)


def test_outcomes_are_told_in_a_few_words() -> None:
    assert outcome_of(Conflict(409, "Conflict", "too late"), None) == "409 Conflict: too late"
    assert outcome_of(None, {"metadata": {"resourceVersion": "7"}}) == "done at resourceVersion 7"
    assert outcome_of(None, "3f5a") == "done"


def test_what_is_long_is_cut() -> None:
    long = {"pods": [{"name": f"web-{number}"} for number in range(2000)]}
    cut = bounded(long)
    assert len(cut["pods"]) == 21
    assert cut["pods"][-1] == "and 1980 more"
    huge = {f"key-{number}": "x" * 100 for number in range(1000)}
    assert len(orjson.dumps(bounded(huge))) <= MOST_BYTES
