"""How a browser logs in to the status page: a link that works once, then a signed cookie.

Room apiserver; used by authentication.py and login.py. The cookie carries its own end and is signed
with a key derived from the server's private one, so it outlives a restart of the server and dies
with the cluster. The cookie alone lets one read, never write.

To write, a request also shows the session's write key. A browser sends a cookie to every port of a
host and with every request that any page makes; the write key it sends to nobody: the login link's
answer gives it in the address's fragment, the page keeps it in its own origin's storage and shows
it in a header, which no page of another origin can. So neither such a page (CSRF) nor another
server on this host can write with this session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from apiserver.request_info import User

COOKIE = "podium_session"
LINK_LIFETIME_S = 600
SESSION_LIFETIME_S = 12 * 3600
MAX_LINKS = 1000  # unused ones; the oldest go first
KEY_HEADER = "HTTP_X_PODIUM_KEY"
KEY_PROTOCOL = "podium.key."  # before the key, among a WebSocket's protocols: it has no headers
_PROTOCOLS = "HTTP_SEC_WEBSOCKET_PROTOCOL"
_TAKEN = "podium.write_key"

_ADMIN = ("kubernetes-admin", ("system:masters", "system:authenticated"))
VIEWER = User(*_ADMIN, is_read_only=True)
WRITER = User(*_ADMIN)


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser gets when it logs in."""

    cookie: str
    write_key: str


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

    def redeem(self, token: str) -> Session | None:
        """A new session; None when the link is unknown, used or too old."""
        ends = self._links.pop(token, 0.0)
        if time.monotonic() > ends:
            return None
        until = str(int(time.time()) + SESSION_LIFETIME_S)
        return Session(f"{until}.{self._sign(until)}", self._write_key(until))

    def user(self, cookie: str, write_key: str = "") -> User | None:
        """Who a cookie speaks for."""
        until, _, signature = cookie.partition(".")
        if not until.isdigit() or not hmac.compare_digest(
            signature.encode(), self._sign(until).encode()
        ):
            return None
        if time.time() >= int(until):
            return None
        may_write = hmac.compare_digest(write_key.encode(), self._write_key(until).encode())
        return WRITER if may_write else VIEWER

    def _write_key(self, until: str) -> str:
        return self._sign(f"write {until}")

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def cookie_of(header: str) -> str:
    """Our cookie in a Cookie header; "" when it is not there."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def take_write_key(environ: dict[str, Any]) -> str:
    """The write key that a request shows; it is taken out, so that it goes no further. "" when
    there is none, or when a page of another origin sent the request."""
    key = environ.pop(KEY_HEADER, "") or environ.get(_TAKEN, "")
    offered = [name.strip() for name in environ.get(_PROTOCOLS, "").split(",")]
    for name in offered:
        if name.startswith(KEY_PROTOCOL):
            key = name.removeprefix(KEY_PROTOCOL)
            environ[_PROTOCOLS] = ", ".join(other for other in offered if other != name)
    origin = environ.get("HTTP_ORIGIN", "")
    if origin and origin != f"https://{environ.get('HTTP_HOST', '')}":
        return ""
    environ[_TAKEN] = key  # whoever asks again
    return str(key)
