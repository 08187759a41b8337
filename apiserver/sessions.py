"""How a browser logs in to the status page: a link that works once, then a signed cookie.

Room apiserver; used by authentication.py and login.py. The cookie carries its own end and is signed
with a key derived from the server's private one, so it outlives a restart of the server and dies
with the cluster. It lets one read, never write.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from apiserver.request_info import User

COOKIE = "podium_session"
LINK_LIFETIME_S = 600
SESSION_LIFETIME_S = 12 * 3600
MAX_LINKS = 1000  # unused ones; the oldest go first

VIEWER = User("kubernetes-admin", ("system:masters", "system:authenticated"), is_read_only=True)


class Sessions:
    """`private_key`: the server's, as bytes."""

    def __init__(self, private_key: bytes) -> None:
        self._key = hashlib.sha256(b"podium status page session\0" + private_key).digest()
        self._links: dict[str, float] = {}

    def new_link_token(self) -> str:
        """A token that `redeem` takes once."""
        while len(self._links) >= MAX_LINKS:
            del self._links[next(iter(self._links))]
        token = secrets.token_urlsafe(32)
        self._links[token] = time.monotonic() + LINK_LIFETIME_S
        return token

    def redeem(self, token: str) -> str | None:
        """A new session's cookie value; None when the link is unknown, used or too old."""
        ends = self._links.pop(token, 0.0)
        if time.monotonic() > ends:
            return None
        until = str(int(time.time()) + SESSION_LIFETIME_S)
        return f"{until}.{self._sign(until)}"

    def user(self, cookie: str) -> User | None:
        """Who a cookie speaks for."""
        until, _, signature = cookie.partition(".")
        if not until.isdigit() or not hmac.compare_digest(
            signature.encode(), self._sign(until).encode()
        ):
            return None
        return VIEWER if time.time() < int(until) else None

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def cookie_of(header: str) -> str:
    """Our cookie in a Cookie header; "" when it is not there."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
