"""One repository of one registry, for one pull: what a tag means, manifests, and blobs as streams.

Room kubelet/images; used by pull.py. Mirrors are asked first, each in turn, the registry itself
last. Sources: OCI distribution specification, "Pull"; distribution `docs/spec/auth/token.md`.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubelet.images.errors import (
    InvalidImage,
    NotAuthorized,
    NotInRegistry,
    PullFailed,
    RegistryUnavailable,
)
from kubelet.images.manifest import (
    INDEXES,
    MANIFESTS,
    MAX_JSON_BYTES,
    checked_digest,
    verified,
)
from kubelet.images.reference import repository
from kubelet.images.registry.challenge import Challenge, read_challenges
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.images.registry.hosts import Endpoint, Registries
from kubelet.images.registry.transport import ATTEMPTS, BROKEN, TRY_AGAIN, Answer, Timing, Transport

ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
MAX_TOKEN_BYTES = 64 * 1024
MAX_RESUMES = 100  # of one blob, however far each brings us
# Slower than this is as good as silent: it would keep a place that others wait for
SLOW_BYTES, SLOW_S = 64 * 1024, 60.0
SMALL_S = 120.0  # for a manifest, a config, a token


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference means now."""

    digest: str


class Repository:
    """`full_name` is a full reference; `credential` None pulls as nobody. Thread-safe."""

    def __init__(
        self, full_name: str, registries: Registries, credential: Credential | None,
        keyring: Keyring, timing: Timing | None = None,
    ) -> None:  # fmt: skip
        self.full_name = full_name
        self.registry, _, self._path = repository(full_name).partition("/")
        self._tag = full_name.removeprefix(repository(full_name))[1:]
        self._registries = registries
        self._endpoints = registries.endpoints(self.registry)
        self._credential, self._keyring = credential, keyring
        self._transport = Transport(registries, timing or Timing())
        self._lock = threading.Lock()
        self._authorizations: dict[Endpoint, str] = {}

    def close(self) -> None:
        self._transport.close()

    # ---- what can be asked ----

    def resolve(self) -> Resolved:
        """Raises NotInRegistry, NotAuthorized, RegistryUnavailable, PullFailed."""
        return self._any("resolve", self._resolve)

    def manifest(self, digest: str) -> bytes:
        """A manifest or index, checked; raises InvalidImage as well."""
        return self._any("pull", lambda endpoint: self._small(endpoint, f"manifests/{digest}"),
                         lambda content: verified(content, digest))  # fmt: skip

    def config(self, digest: str) -> bytes:
        """A small blob, checked."""
        return self._any("pull", lambda endpoint: self._small(endpoint, f"blobs/{digest}"),
                         lambda content: verified(content, digest))  # fmt: skip

    @contextmanager
    def blob(
        self, digest: str, size: int, progress: Callable[[int], None] = lambda _: None
    ) -> Iterator[Blob]:
        """A large one, unchecked: whoever reads it computes its digest. `progress` hears of every
        piece that comes."""
        endpoint, answer = self._any("pull", lambda each: (each, self._open_blob(each, digest, 0)))
        blob = Blob(
            answer, size, lambda start: self._open_blob(endpoint, digest, start), progress,
            self._transport.timing,
        )  # fmt: skip
        try:
            blob.check_length()
            yield blob
        finally:
            blob.close()

    # ---- one endpoint after the other ----

    def _any(
        self, capability: str, ask: Callable[[Endpoint], Any],
        check: Callable[[Any], Any] = lambda answer: answer,
    ) -> Any:  # fmt: skip
        """The first answer. Of failures a refusal counts more than silence ("not found" by one and
        "unreachable" by the other is "not found"), and the registry's own (the last) most."""
        failures: list[PullFailed | InvalidImage] = []
        for endpoint in self._endpoints:
            if capability not in endpoint.capabilities:
                continue
            try:
                return check(ask(endpoint))
            except (PullFailed, InvalidImage) as failure:
                failures.append(failure)
        if not failures:
            raise PullFailed(f"no host of {self.registry} may be asked to {capability}")
        raise max(reversed(failures), key=_weight)

    def _resolve(self, endpoint: Endpoint) -> Resolved:
        """By HEAD; with GET where that does not say the digest. A digest is asked for as well: the
        registry says whether we may have it."""
        where, is_digest = f"manifests/{self._tag}", self._tag.startswith("sha256:")
        with self._ask(endpoint, "HEAD", where, {"Accept": ACCEPT}) as answer:
            digest = self._tag if is_digest else answer.headers.get("Docker-Content-Digest", "")
            if answer.status == 200 and digest.startswith("sha256:"):
                return Resolved(checked_digest(digest))
            if answer.status not in (200, 405):
                self._check(answer, "HEAD")
        content = self._small(endpoint, where)
        return Resolved(self._tag if is_digest else _digest(content))

    def _small(self, endpoint: Endpoint, where: str) -> bytes:
        with self._ask(endpoint, "GET", where, {"Accept": ACCEPT}) as answer:
            self._check(answer, "GET")
            return _read_all(answer, MAX_JSON_BYTES)

    def _open_blob(self, endpoint: Endpoint, digest: str, start: int) -> Answer:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        answer = self._ask(endpoint, "GET", f"blobs/{digest}", headers)
        try:
            self._check(answer, "GET")
        except PullFailed:
            answer.close()
            raise
        return answer

    def _check(self, answer: Answer, method: str) -> None:
        """Raises what another status than success means."""
        if answer.status in (200, 206):
            return
        phrase = http.client.responses.get(answer.status, "")
        said = f"unexpected status from {method} request to {answer.url}: {answer.status} {phrase}"
        if why := _errors(answer):
            said += f": {why}"
        if answer.status == 404:
            raise NotInRegistry(f"{self.full_name}: not found")
        if answer.status in (401, 403):
            raise NotAuthorized(
                f"pull access denied, repository does not exist or may require authorization: "
                f"{said}"
            )
        raise (RegistryUnavailable if answer.status in TRY_AGAIN else PullFailed)(said)

    # ---- authorization ----

    def _ask(
        self, endpoint: Endpoint, method: str, where: str, headers: Mapping[str, str]
    ) -> Answer:
        """With what the registry has asked for before; once more when it asks for something."""
        url = f"{endpoint.scheme}://{endpoint.netloc}{endpoint.path}/{self._path}/{where}"
        if endpoint.is_mirror:
            url += "?" + urlencode({"ns": self.registry})
        known = self._authorizations.get(endpoint)
        given = {**headers, "Authorization": known} if known else dict(headers)
        answer = self._transport.ask(endpoint, method, url, given)
        if answer.status != 401:
            return answer
        try:
            challenges = read_challenges(answer.headers.get_all("WWW-Authenticate") or ())
            fresh = self._authorize(endpoint, challenges)
        finally:
            answer.close()
        if fresh is not None:
            with self._lock:
                self._authorizations[endpoint] = fresh
            given["Authorization"] = fresh
        return self._transport.ask(endpoint, method, url, given)

    def _authorize(self, endpoint: Endpoint, challenges: list[Challenge]) -> str | None:
        credential = self._credential_for(endpoint)
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                return f"Bearer {self._token(endpoint, challenge, credential)}"
            if challenge.scheme == "basic" and credential is not None:
                return _basic(credential)
        return None

    def _credential_for(self, endpoint: Endpoint) -> Credential | None:
        """A mirror is another host: it gets what the keyring has for it, never the registry's."""
        if not endpoint.is_mirror:
            return self._credential
        return next(iter(self._keyring.lookup(f"{endpoint.netloc}/{self._path}")), None)

    def _token(
        self, endpoint: Endpoint, challenge: Challenge, credential: Credential | None
    ) -> str:
        realm = challenge.parameters["realm"]
        query = {"scope": f"repository:{self._path}:pull"}
        if service := challenge.parameters.get("service"):
            query["service"] = service
        headers = {}
        if credential is not None:
            if urlsplit(realm).scheme != "https" and endpoint.scheme == "https":
                raise NotAuthorized(
                    f"the registry wants the password to be sent to {realm}, unencrypted"
                )
            headers["Authorization"] = _basic(credential)
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        with self._transport.ask(self._way_to(realm, endpoint), "GET", url, headers) as answer:
            if answer.status != 200:
                raise NotAuthorized(
                    "pull access denied, repository does not exist or may require authorization: "
                    f"authorization failed: {answer.status} from {realm}"
                )
            content = _read_all(answer, MAX_TOKEN_BYTES)
        try:
            said = json.loads(content)
            return str(said.get("token") or said["access_token"])
        except (ValueError, KeyError, AttributeError, RecursionError) as failure:
            raise NotAuthorized(f"no token in the answer from {realm}") from failure

    def _way_to(self, realm: str, endpoint: Endpoint) -> Endpoint:
        """What is configured for the token server; else the registry's own CAs, as most have
        both."""
        netloc = urlsplit(realm).netloc
        if netloc == endpoint.netloc:
            return endpoint
        if self._registries.is_configured(netloc):
            return self._registries.endpoints(netloc)[-1]
        return replace(endpoint, netloc=netloc, headers=())


class Blob:
    """The bytes of a blob; goes on by Range where a connection breaks. `read` raises
    RegistryUnavailable, PullFailed, InvalidImage."""

    def __init__(
        self, answer: Answer, size: int, reopen: Callable[[int], Answer],
        progress: Callable[[int], None], timing: Timing,
    ) -> None:  # fmt: skip
        self._answer, self._size, self._reopen = answer, size, reopen
        self._progress, self._timing = progress, timing
        self._position = 0
        self._attempt = self._resumes = 0
        self._watched_at, self._watched = time.monotonic(), 0  # the position then

    def close(self) -> None:
        self._answer.close()

    def read(self, size: int) -> bytes:
        while self._position < self._size:
            try:
                piece = self._answer.read(min(size, self._size - self._position))
                why = "it ended early"
            except BROKEN as failure:
                piece, why = b"", str(failure) or type(failure).__name__
            if piece:
                self._attempt = 0
                self._position += len(piece)
                self._progress(len(piece))
                self._check_speed()
                return piece
            self._resume(why)
        return b""

    def _check_speed(self) -> None:
        now = time.monotonic()
        if now - self._watched_at < SLOW_S:
            return
        if self._position - self._watched < SLOW_BYTES and self._position < self._size:
            raise RegistryUnavailable(
                f"GET {self._answer.url}: less than {SLOW_BYTES} bytes in {SLOW_S:.0f} s"
            )
        self._watched_at, self._watched = now, self._position

    def _resume(self, why: str) -> None:
        self._answer.close()
        self._resumes += 1
        if self._attempt + 1 >= ATTEMPTS or self._resumes > MAX_RESUMES:
            raise RegistryUnavailable(
                f"GET {self._answer.url}: {why} after {self._position} of {self._size} bytes"
            )
        self._timing.sleep(self._timing.pause_s(self._attempt))
        self._attempt += 1
        self._answer = self._reopen(self._position)
        if self._answer.status == 206:
            self.check_length()
        else:
            self._skip(self._position)  # it does not know Range: from the start again

    def _skip(self, left: int) -> None:
        try:
            while left:
                piece = self._answer.read(min(left, 1 << 20))
                if not piece:
                    return  # the next read finds its end, and tries again
                left -= len(piece)
        except BROKEN:
            self._answer.close()

    def check_length(self) -> None:
        """What is said to come now is what the manifest says; raises InvalidImage."""
        said = self._answer.headers.get("Content-Length") or ""
        if said.isdigit() and int(said) + self._position != self._size:
            raise InvalidImage(
                f"blob {self._answer.url} has {int(said) + self._position} bytes, and its manifest "
                f"says {self._size}"
            )


def _weight(failure: Exception) -> int:
    if isinstance(failure, NotInRegistry | NotAuthorized | InvalidImage):
        return 2
    return 0 if isinstance(failure, RegistryUnavailable) else 1


def _basic(credential: Credential) -> str:
    text = f"{credential.username}:{credential.password}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read_all(answer: Answer, limit: int) -> bytes:
    content, deadline = b"", time.monotonic() + SMALL_S
    try:
        while len(content) <= limit and (piece := answer.read(limit + 1 - len(content))):
            content += piece
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all there after {SMALL_S:.0f} s")
    except BROKEN as failure:
        raise RegistryUnavailable(f"GET {answer.url}: {failure}") from failure
    if len(content) > limit:
        raise InvalidImage(f"{answer.url} has more than {limit} bytes")
    return content


def _errors(answer: Answer) -> str:
    """What a registry says in its JSON: "MANIFEST_INVALID: manifest invalid"."""
    try:
        said = json.loads(answer.read(16 * 1024))
        first = said["errors"][0]
        return f"{first.get('code', '')}: {first.get('message', '')}"[:300]
    except (*BROKEN, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
