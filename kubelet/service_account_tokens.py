"""Tokens for this node's Pods: asked of the API server, kept in memory, renewed in time.

Room kubelet; used by volumes.py. A token is renewed at 80 % of its life, or after a day; as long as
it holds it stays when the API server is away. A kubelet that comes back asks anew.
Source: kubelet `pkg/kubelet/token/token_manager.go`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from podium.api import meta
from podium.client.errors import ClientError
from podium.client.http import Client

Object = dict[str, Any]
log = logging.getLogger("tokens")

RENEW_AT = 0.8  # of its life
OLDEST_S = 24 * 3600.0
RETRY_S = 10.0


class NoToken(Exception):
    """The API server gave none, and there is none that still holds."""


@dataclass
class _Token:
    text: str
    renew_at: float  # seconds since the epoch
    ends_at: float


class PodTokens:
    """Safe for many threads as long as each Pod has one."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.time) -> None:
        self._client, self._clock = client, clock
        self._tokens: dict[str, dict[tuple[str, int], _Token]] = {}  # by Pod's uid

    def token(self, pod: Object, source: Object) -> str:
        """For a `serviceAccountToken` of a projected volume; raises NoToken."""
        lifetime_s = int(source.get("expirationSeconds") or 3600)
        audience = source.get("audience") or ""
        of_pod = self._tokens.setdefault(pod["metadata"]["uid"], {})
        known = of_pod.get((audience, lifetime_s))
        if known is not None and self._clock() < known.renew_at:
            return known.text
        try:
            found = self._ask(pod, audience, lifetime_s)
        except ClientError as error:
            if known is None or self._clock() >= known.ends_at:
                raise NoToken(f"failed to fetch token: {error}") from error
            log.warning("%s: a token is not renewed: %s", meta.key_of(pod), error)
            known.renew_at = self._clock() + RETRY_S
            return known.text
        of_pod[audience, lifetime_s] = found
        return found.text

    def _ask(self, pod: Object, audience: str, lifetime_s: int) -> _Token:
        about = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": about["name"], "uid": about["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": lifetime_s,
                "boundObjectRef": bound,
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        began = self._clock()
        answer = self._client.create_subresource(
            "serviceaccounts", account, about["namespace"], "token", request
        )
        status = answer["status"]
        ends = meta.parse_time(status["expirationTimestamp"]).timestamp()
        renew_at = began + min((ends - began) * RENEW_AT, OLDEST_S)
        return _Token(status["token"], renew_at, ends)

    def due_in_s(self, uid: str) -> float | None:
        """Seconds until a token of the Pod is to be renewed; None if it has none."""
        times = [token.renew_at for token in self._tokens.get(uid, {}).values()]
        return max(0.0, min(times) - self._clock()) if times else None

    def forget(self, uid: str) -> None:
        self._tokens.pop(uid, None)
