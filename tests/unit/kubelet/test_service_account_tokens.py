"""When a kubelet asks for a token, and what it does while it gets none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelet.service_account_tokens import NoToken, PodTokens
from podium.api import meta
from podium.client.errors import Unreachable

BEGAN = 1_800_000_000.0
POD = {
    "metadata": {"name": "web", "namespace": "default", "uid": "u"},
    "spec": {"serviceAccountName": "robot"},
}


class Server:
    """Gives tokens that are numbered, unless it is away."""

    def __init__(self) -> None:
        self.now, self.asked, self.is_away = BEGAN, 0, False
        self.request: dict[str, Any] = {}

    def create_subresource(self, *where: Any) -> dict[str, Any]:
        if self.is_away:
            raise Unreachable("away")
        self.asked, self.request = self.asked + 1, where[-1]
        ends = datetime.fromtimestamp(self.now + where[-1]["spec"]["expirationSeconds"], UTC)
        return {"status": {"token": f"t{self.asked}", "expirationTimestamp": meta.now(ends)}}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def tokens(server: Server) -> PodTokens:
    return PodTokens(server, clock=lambda: server.now)  # type: ignore[arg-type]


SOURCE = {"path": "token", "expirationSeconds": 1000, "audience": "vault"}


def test_a_token_is_asked_for_once_and_renewed_at_80_percent_of_its_life(
    server: Server, tokens: PodTokens
) -> None:
    assert tokens.due_in_s("u") is None
    assert tokens.token(POD, SOURCE) == tokens.token(POD, SOURCE) == "t1"
    assert tokens.due_in_s("u") == 800
    server.now += 799
    assert tokens.token(POD, SOURCE) == "t1"
    server.now += 1
    assert tokens.token(POD, SOURCE) == "t2"


def test_a_token_is_bound_to_its_pod_and_made_for_its_audience(
    server: Server, tokens: PodTokens
) -> None:
    tokens.token(POD, SOURCE)
    spec = server.request["spec"]
    assert spec["audiences"] == ["vault"]
    assert spec["boundObjectRef"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u"
    }  # fmt: skip


def test_while_the_server_is_away_a_token_stays_as_long_as_it_holds(
    server: Server, tokens: PodTokens
) -> None:
    tokens.token(POD, SOURCE)
    server.is_away = True
    server.now += 900
    assert tokens.token(POD, SOURCE) == "t1"
    assert tokens.due_in_s("u") == 10
    server.now += 101
    with pytest.raises(NoToken):
        tokens.token(POD, SOURCE)


def test_a_token_lives_at_most_a_day_and_is_forgotten_with_its_pod(
    server: Server, tokens: PodTokens
) -> None:
    tokens.token(POD, {"path": "token", "expirationSeconds": 10 * 86400})
    assert tokens.due_in_s("u") == 86400
    tokens.forget("u")
    assert tokens.due_in_s("u") is None
