"""HTTP to registries: one request and its answer, redirects and retries included.

Room kubelet/images; used by client.py, one `Transport` for one pull, in its thread. Idle
connections are kept for the next request. What a redirect leads to gets no credentials unless it
is the same host.
"""

from __future__ import annotations

import http.client
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from kubelet.images.errors import RegistryUnavailable
from kubelet.images.registry.hosts import Endpoint, Registries

log = logging.getLogger("registry")

CONNECT_S = 15.0
SILENCE_S = 60.0  # without a byte
MAX_REDIRECTS = 10
ATTEMPTS = 5
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 20.0
MAX_RETRY_AFTER_S = 60.0
TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SMALL_BYTES = 64 * 1024  # of an answer that nobody wants, so that its connection can be kept
# What a connection may end with
BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Timing:
    """Tests have less patience."""

    silence_s: float = SILENCE_S
    first_pause_s: float = FIRST_PAUSE_S
    sleep: Callable[[float], None] = time.sleep

    def pause_s(self, attempt: int, retry_after: str | None = None) -> float:
        """Before the next try, after `attempt` (0, 1, …) has failed."""
        pause_s = min(self.first_pause_s * 2**attempt, LAST_PAUSE_S) * random.uniform(0.8, 1.2)
        return max(pause_s, min(_seconds(retry_after), MAX_RETRY_AFTER_S))


def _seconds(retry_after: str | None) -> float:
    """ "120" or a date."""
    if not retry_after:
        return 0.0
    try:
        return float(retry_after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0.0


class Answer:
    """A response whose body is read, or left: `close` it in any case."""

    def __init__(
        self, url: str, response: http.client.HTTPResponse, connection: http.client.HTTPConnection,
        give_back: Callable[[http.client.HTTPConnection], None],
    ) -> None:  # fmt: skip
        self.url, self.status, self.headers = url, response.status, response.headers
        self._response, self._connection = response, connection
        self._give_back: Callable[[http.client.HTTPConnection], None] | None = give_back

    def read(self, size: int) -> bytes:
        """What has come, at least a byte; b"" at the end. Raises one of BROKEN."""
        return self._response.read1(size)

    def close(self) -> None:
        """Safe to repeat. The connection is kept if little is left to read."""
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        try:
            left = self._response.length
            if left is not None and left <= _SMALL_BYTES:
                self._response.read()
        except BROKEN:
            pass
        if self._response.isclosed() and not self._response.will_close:
            give_back(self._connection)
        else:
            self._response.close()
            self._connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport:
    """Safe for many threads, each with answers of its own."""

    def __init__(self, registries: Registries, timing: Timing) -> None:
        self._registries, self.timing = registries, timing
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._tls: dict[str, ssl.SSLContext] = {}

    def close(self) -> None:
        with self._lock:
            every = [each for idle in self._idle.values() for each in idle]
            self._idle.clear()
        for connection in every:
            connection.close()

    def ask(
        self, endpoint: Endpoint, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Follows redirects, tries again when the server is busy or the connection breaks. Raises
        RegistryUnavailable, PullFailed."""
        attempt = 0
        while True:
            retry_after = None
            try:
                answer = self._follow(endpoint, method, url, dict(headers or {}))
                if answer.status not in TRY_AGAIN or attempt + 1 == ATTEMPTS:
                    return answer
                why, retry_after = f"{answer.status}", answer.headers.get("Retry-After")
                answer.close()
            except BROKEN as failure:
                why = str(failure) or type(failure).__name__
                if attempt + 1 == ATTEMPTS or not _may_pass(failure):
                    raise RegistryUnavailable(f"{method} {url}: {why}") from failure
            pause_s = self.timing.pause_s(attempt, retry_after)
            log.info("%s %s: %s; again in %.1f s", method, url, why, pause_s)
            self.timing.sleep(pause_s)
            attempt += 1

    def _follow(self, endpoint: Endpoint, method: str, url: str, headers: dict[str, str]) -> Answer:
        start = urlsplit(url)
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            is_home = (parts.scheme, parts.netloc) == (start.scheme, start.netloc)
            if not is_home:  # what is said to a registry is nobody else's
                headers = {k: v for k, v in headers.items() if k in ("Accept", "Range")}
            answer = self._once(endpoint if is_home else None, method, url, headers)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            answer.close()
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https"):
                break
        raise RegistryUnavailable(f"{method} {url}: redirected to nowhere")

    def _once(
        self, endpoint: Endpoint | None, method: str, url: str, headers: Mapping[str, str]
    ) -> Answer:
        """An idle connection may have been closed by the other side meanwhile: then a new one."""
        parts = urlsplit(url)
        headers = {"User-Agent": "podium", **dict(endpoint.headers if endpoint else ()), **headers}
        while (kept := self._take((parts.scheme, parts.netloc))) is not None:
            try:
                return self._send(kept, method, url, headers)
            except BROKEN:
                kept.close()
        connection = self._connect(endpoint, parts.scheme, parts.netloc)
        try:
            return self._send(connection, method, url, headers)
        except BROKEN:
            connection.close()
            raise

    def _send(
        self, connection: http.client.HTTPConnection, method: str, url: str, headers: dict[str, str]
    ) -> Answer:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        if parts.scheme == "http" and _proxy(parts.scheme, parts.netloc):
            target = url  # a proxy is told the whole of it (RFC 9112, section 3.2.2)
        connection.request(method, target, headers=headers)
        place = (parts.scheme, parts.netloc)
        return Answer(
            url, connection.getresponse(), connection, lambda each: self._keep(place, each)
        )

    # ---- connections ----

    def _take(self, place: tuple[str, str]) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(place)
            return idle.pop() if idle else None

    def _keep(self, place: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.setdefault(place, []).append(connection)

    def _connect(
        self, endpoint: Endpoint | None, scheme: str, netloc: str
    ) -> http.client.HTTPConnection:
        proxy = _proxy(scheme, netloc)
        connection: http.client.HTTPConnection
        if scheme == "https":
            tls = self._context(endpoint, netloc)
            connection = http.client.HTTPSConnection(
                proxy or netloc, timeout=CONNECT_S, context=tls
            )
        else:
            connection = http.client.HTTPConnection(proxy or netloc, timeout=CONNECT_S)
        if proxy and scheme == "https":
            connection.set_tunnel(netloc)
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(self.timing.silence_s)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _context(self, endpoint: Endpoint | None, netloc: str) -> ssl.SSLContext:
        """Where a redirect leads, what is configured for that host counts."""
        with self._lock:
            if (known := self._tls.get(netloc)) is not None:
                return known
        endpoint = endpoint or self._registries.endpoints(netloc)[-1]
        made = endpoint.tls()
        with self._lock:
            return self._tls.setdefault(netloc, made)


def _may_pass(failure: BaseException) -> bool:
    """A refused connection, an unknown name or certificate is told at once: the Pod's back-off
    waits better."""
    if isinstance(failure, ssl.SSLError) and failure.reason == "WRONG_VERSION_NUMBER":
        return False  # it speaks no TLS
    return not isinstance(
        failure, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError
    )


def _proxy(scheme: str, netloc: str) -> str:
    """host:port of $HTTPS_PROXY or $HTTP_PROXY, unless $NO_PROXY names the host; "" for none."""
    from urllib.request import getproxies_environment, proxy_bypass_environment

    proxies = getproxies_environment()
    if scheme not in proxies or proxy_bypass_environment(netloc, proxies):
        return ""
    return urlsplit(proxies[scheme]).netloc.rpartition("@")[2]
