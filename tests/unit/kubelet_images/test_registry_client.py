"""Registries that misbehave, at the other end of a real socket: kubelet/images/registry/."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelet.images import ImageStore, InvalidImage, Limits, PullFailed, RegistryUnavailable
from kubelet.images.errors import ImageError, NotAuthorized, NotInRegistry
from kubelet.images.pull import Pulls, _Rate
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.images.registry.hosts import Registries
from kubelet.images.registry.transport import Timing
from tests.support.images import MANIFEST, OciLayout, digest, layer_tar
from tests.support.scripted_server import Request, ScriptedServer, scripted_server

BIG = layer_tar({"data": bytes(range(256)) * 4000})
ALI = Credential("ali", "open sesame")


class FakeRegistry:
    """Serves one image as `app:1`; `tamper(request, answer)` may answer something else."""

    def __init__(self, *layers: bytes, config: dict[str, Any] | None = None) -> None:
        self.layout = OciLayout()
        self.descriptor = self.layout.image(
            "app:1", list(layers) or [BIG], config, compress=lambda layer: layer
        )
        self.tamper: Callable[[Request, bytes], bytes | None] = lambda _, answer: answer
        self.pauses: list[float] = []

    def blob(self, wanted: str) -> bytes | None:
        return self.layout.files.get(f"blobs/sha256/{wanted.removeprefix('sha256:')}")

    def __call__(self, request: Request) -> bytes | None:
        return self.tamper(request, self.answer(request))

    def answer(self, request: Request) -> bytes:
        _, _, rest = request.path.partition("/app/")
        kind, _, wanted = rest.partition("/")
        content = self.blob(self.descriptor["digest"] if wanted == "1" else wanted)
        if content is None:
            return an_answer(b"{}", 404)
        headers = {"Docker-Content-Digest": digest(content)}
        if kind == "manifests":
            headers["Content-Type"] = MANIFEST
        return an_answer(content, 200, is_head=request.method == "HEAD", **headers)

    def layer(self, number: int = 0) -> str:
        manifest = json.loads(self.blob(self.descriptor["digest"]) or b"")
        return str(manifest["layers"][number]["digest"])


def an_answer(content: bytes, status: int = 200, *, is_head: bool = False, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_head else content)


def headers_of(request: Request) -> dict[str, str]:
    lines = request.head.decode().split("\r\n")[1:]
    return {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}


class Puller:
    """A store that pulls from registries by their address on loopback, without TLS."""

    def __init__(
        self, directory: Path, registry: FakeRegistry, limits: Limits | None = None
    ) -> None:
        self.directory, self.registry = directory, registry
        self.store = ImageStore(str(directory / "images"), limits)
        timing = Timing(silence_s=2.0, first_pause_s=0.01, sleep=registry.pauses.append)
        self.pulls = Pulls(self.store, Registries(directory), timing=timing)

    def plain(self, server: ScriptedServer, *lines: str) -> str:
        """Its name; `lines` go into its hosts.toml."""
        name = f"127.0.0.1:{server.port}"
        directory = self.directory / "certs.d" / name
        directory.mkdir(parents=True, exist_ok=True)
        text = "\n".join([f'server = "http://{name}"', *lines])
        (directory / "hosts.toml").write_text(text)
        return name

    def pull(self, name: str, *entries: tuple[str, Credential], tag: str = ":1") -> Any:
        return self.pulls.start(f"{name}/app{tag}", Keyring(entries)).wait()


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def server(registry: FakeRegistry) -> Iterator[ScriptedServer]:
    with scripted_server(registry) as server:
        yield server


@pytest.fixture
def puller(tmp_path: Path, registry: FakeRegistry) -> Puller:
    return Puller(tmp_path, registry)


def paths(server: ScriptedServer, method: str = "GET") -> list[str]:
    return [r.path.partition("/app/")[2] for r in server.requests if r.method == method]


# ---- what goes wrong on the way ----


def test_a_blob_that_breaks_off_goes_on_from_there(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def break_off(request: Request, answer: bytes) -> bytes:
        if not request.path.endswith(registry.layer()):
            return answer
        head, _, content = answer.partition(b"\r\n\r\n")
        wanted = headers_of(request).get("range")
        if wanted is None:
            return head + b"\r\nConnection: close\r\n\r\n" + content[:300_000]
        assert wanted == "bytes=300000-"
        return an_answer(content[300_000:], 206)

    def script(request: Request) -> Any:
        answer = break_off(request, registry.answer(request))
        return iter([answer]) if b"Connection: close" in answer[:300] else answer

    server.script = script
    image = puller.pull(puller.plain(server))
    assert (Path(image.layers[0]) / "data").stat().st_size == 256 * 4000
    assert paths(server).count(f"blobs/{registry.layer()}") == 2


def test_a_server_that_knows_no_range_is_read_from_the_start_again(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    broken: list[str] = []

    def script(request: Request) -> Any:
        answer = registry.answer(request)
        if request.path.endswith(registry.layer()) and not broken:
            broken.append(request.path)
            return iter([answer[:200_000]])
        return answer

    server.script = script
    assert puller.pull(puller.plain(server)).layers


def test_one_that_never_gives_it_all_is_given_up(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def script(request: Request) -> Any:
        answer = registry.answer(request)
        return iter([answer[:500]]) if request.path.endswith(registry.layer()) else answer

    server.script = script
    with pytest.raises(RegistryUnavailable, match=r"after \d+ of \d+ bytes"):
        puller.pull(puller.plain(server))
    assert list((puller.directory / "images" / "layers").iterdir()) == []
    assert list((puller.directory / "images" / "scratch").iterdir()) == []


def test_silence_ends_a_request(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    said = threading.Event()

    def script(request: Request) -> Any:
        answer = registry.answer(request)
        if request.path.endswith(registry.layer()) and not said.is_set():
            said.set()
            return iter(_then_nothing(answer[:400_000]))
        return answer

    server.script = script
    assert puller.pull(puller.plain(server)).layers


def _then_nothing(piece: bytes) -> Iterator[bytes]:
    yield piece
    threading.Event().wait(10)


def test_a_trickle_is_as_good_as_silence(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubelet.images.registry.client.SLOW_S", 0.2)

    def script(request: Request) -> Any:
        answer = registry.answer(request)
        return _drop_by_drop(answer) if request.path.endswith(registry.layer()) else answer

    server.script = script
    with pytest.raises(RegistryUnavailable, match=r"less than 65536 bytes in 0 s"):
        puller.pull(puller.plain(server))


def _drop_by_drop(answer: bytes) -> Iterator[bytes]:
    pause = threading.Event()
    for start in range(0, len(answer), 1000):
        yield answer[start : start + 1000]
        pause.wait(0.05)


def test_a_busy_registry_is_asked_again_no_sooner_than_it_says(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    answers = [an_answer(b"", 429, Retry_After="7"), an_answer(b"", 503)]
    registry.tamper = lambda _, answer: answers.pop(0) if answers else answer
    assert puller.pull(puller.plain(server)).layers
    assert registry.pauses[0] == 7.0
    assert 0 < registry.pauses[1] < 1


def test_a_registry_that_stays_busy_is_unavailable(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    registry.tamper = lambda *_: an_answer(b"", 503)
    with pytest.raises(RegistryUnavailable, match="503 Service Unavailable"):
        puller.pull(puller.plain(server))
    assert len(server.requests) == 5


def test_nobody_at_the_address_is_unavailable_at_once(puller: Puller) -> None:
    with pytest.raises(RegistryUnavailable, match="refused"):
        puller.pull("127.0.0.1:1")
    assert puller.registry.pauses == []


def test_what_is_not_there_is_not_found(puller: Puller, server: ScriptedServer) -> None:
    name = puller.plain(server)
    with pytest.raises(
        NotInRegistry, match=rf'failed to resolve reference "{name}/app:2": .*: not'
    ):
        puller.pull(name, tag=":2")


# ---- what is not what it says ----


def test_a_blob_with_another_content_is_refused(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def swap(request: Request, answer: bytes) -> bytes:
        is_layer = request.path.endswith(registry.layer())
        return answer[:-10_000] + bytes(10_000) if is_layer else answer

    registry.tamper = swap
    with pytest.raises(InvalidImage, match=f"blob {registry.layer()} is damaged"):
        puller.pull(puller.plain(server))
    assert puller.store.list() == []
    assert list((puller.directory / "images" / "layers").iterdir()) == []


def test_a_manifest_of_another_digest_is_refused(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    other = FakeRegistry(layer_tar({"evil": b"1"}))

    def swap(request: Request, answer: bytes) -> bytes:
        is_get = request.method == "GET" and "/manifests/" in request.path
        return an_answer(other.blob(other.descriptor["digest"]) or b"") if is_get else answer

    registry.tamper = swap
    with pytest.raises(InvalidImage, match="does not have the content that its digest says"):
        puller.pull(puller.plain(server), tag=f"@{registry.descriptor['digest']}")


def test_a_blob_longer_than_its_manifest_says_is_not_read(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def grow(request: Request, answer: bytes) -> bytes:
        is_layer = request.path.endswith(registry.layer())
        return an_answer(BIG + b"more") if is_layer else answer

    registry.tamper = grow
    with pytest.raises(InvalidImage, match=r"has \d+ bytes, and its manifest "):
        puller.pull(puller.plain(server))


def test_an_endless_manifest_is_not_read_to_its_end(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def script(request: Request) -> Any:
        if request.method == "HEAD":
            return an_answer(b"", 405)
        return iter(_endless())

    server.script = script
    with pytest.raises(InvalidImage, match="more than 4194304 bytes"):
        puller.pull(puller.plain(server))


def _endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        yield bytes(1 << 20)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    import gzip

    registry = FakeRegistry(layer_tar({"zeros": bytes(8 << 20)}))
    registry.layout = OciLayout()
    registry.descriptor = registry.layout.image(
        "app:1", [layer_tar({"zeros": bytes(8 << 20)})], compress=gzip.compress
    )
    puller = Puller(tmp_path, registry, Limits(ratio=100, ratio_from_bytes=1 << 20))
    with (
        scripted_server(registry) as server,
        pytest.raises(InvalidImage, match="more than 100 times as many"),
    ):
        puller.pull(puller.plain(server))


@pytest.mark.parametrize(
    ("fields", "because"),
    [
        ({"architecture": "s390x"}, "it has linux/s390x, not linux/"),
        ({"os": "windows"}, "it has windows/"),
    ],
)
def test_an_image_for_another_machine_is_refused(
    puller: Puller, server: ScriptedServer, registry: FakeRegistry, fields: dict[str, str],
    because: str,
) -> None:  # fmt: skip
    registry.layout = OciLayout()
    manifest = json.loads(FakeRegistry().blob(FakeRegistry().descriptor["digest"]) or b"")
    config = json.loads(FakeRegistry().blob(manifest["config"]["digest"]) or b"") | fields
    registry.layout.blob(BIG, manifest["layers"][0]["mediaType"])
    manifest["config"] = registry.layout.blob(config, manifest["config"]["mediaType"])
    registry.descriptor = registry.layout.blob(manifest, MANIFEST)
    with pytest.raises(InvalidImage, match=because):
        puller.pull(puller.plain(server))


def test_an_artifact_that_is_no_image_is_refused(
    puller: Puller, server: ScriptedServer, registry: FakeRegistry
) -> None:
    config = registry.layout.blob(b"{}", "application/vnd.example.chart.v1+json")
    manifest = {"schemaVersion": 2, "config": config, "layers": []}
    registry.descriptor = registry.layout.blob(manifest, MANIFEST)
    with pytest.raises(InvalidImage, match=r"not a container image but an artifact"):
        puller.pull(puller.plain(server))


# ---- who may ----


def test_a_bearer_token_is_fetched_from_the_realm_with_service_and_scope(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def guard(request: Request, answer: bytes) -> bytes:
        if request.path == "/token":
            assert request.query == {"scope": "repository:app:pull", "service": "reg"}
            assert headers_of(request)["authorization"].startswith("Basic ")
            return an_answer(b'{"token": "t0k"}')
        if headers_of(request).get("authorization") == "Bearer t0k":
            return answer
        realm = f'Bearer realm="{server.url}/token",service="reg",scope="repository:app:pull"'
        return an_answer(b"", 401, is_head=request.method == "HEAD", WWW_Authenticate=realm)

    registry.tamper = guard
    name = puller.plain(server)
    assert puller.pull(name, (name, ALI)).layers
    assert [r.path for r in server.requests].count("/token") == 1


def test_a_token_server_that_says_no_is_told(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def guard(request: Request, answer: bytes) -> bytes:
        if request.path == "/token":
            return an_answer(b"", 401)
        realm = f'Bearer realm="{server.url}/token"'
        return an_answer(b"", 401, is_head=request.method == "HEAD", WWW_Authenticate=realm)

    registry.tamper = guard
    with pytest.raises(NotAuthorized, match=r"pull access denied.*authorization failed: 401"):
        puller.pull(puller.plain(server))


def test_a_redirected_blob_is_fetched_without_our_credentials(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    def guard(request: Request, answer: bytes) -> bytes:
        if "authorization" not in headers_of(request):
            return an_answer(
                b"", 401, is_head=request.method == "HEAD", WWW_Authenticate='Basic realm="x"'
            )
        if request.path.endswith(registry.layer()):
            return an_answer(b"", 307, Location=f"{store.url}/bucket?signed=1")
        return answer

    with scripted_server(lambda _: an_answer(BIG)) as store:
        registry.tamper = guard
        name = puller.plain(server)
        assert puller.pull(name, (name, ALI)).layers
        assert [r.path for r in store.requests] == ["/bucket"]
        assert "authorization" not in headers_of(store.requests[0])


def test_credentials_of_another_registry_are_not_sent(
    puller: Puller, server: ScriptedServer
) -> None:
    puller.pull(puller.plain(server), ("other.local", ALI))
    assert all("authorization" not in headers_of(r) for r in server.requests)


def test_every_credential_that_fits_is_tried_and_all_failures_are_told(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    registry.tamper = lambda request, _: an_answer(
        b"", 401, is_head=request.method == "HEAD", WWW_Authenticate='Basic realm="x"'
    )
    name = puller.plain(server)
    with pytest.raises(ImageError, match="401"):
        puller.pull(name, (name, ALI), (f"{name}/app", Credential("eva", "2")))
    tried = {headers_of(r).get("authorization") for r in server.requests}
    assert len(tried) == 3


# ---- where it is asked ----


def test_a_mirror_is_asked_first_and_the_registry_when_it_has_not(
    puller: Puller, server: ScriptedServer
) -> None:
    with scripted_server(lambda _: an_answer(b"", 404)) as mirror:
        name = puller.plain(server, f'[host."{mirror.url}"]')
        assert puller.pull(name).layers
        assert mirror.requests[0].path == "/v2/app/manifests/1"
        assert mirror.requests[0].query == {"ns": name}


def test_a_mirror_gets_no_credentials_of_the_registry(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    challenge = an_answer(b"", 401, is_head=True, WWW_Authenticate='Basic realm="x"')
    with scripted_server(lambda _: challenge) as mirror:
        name = puller.plain(server, f'[host."{mirror.url}"]')
        assert puller.pull(name, (name, ALI)).layers
        assert all("authorization" not in headers_of(r) for r in mirror.requests)


def test_a_name_without_registry_goes_where_registries_conf_says(
    puller: Puller, server: ScriptedServer
) -> None:
    name = puller.plain(server)
    (puller.directory / "registries.conf").write_text(f'unqualified-search-registries = ["{name}"]')
    image = puller.pulls.start("app:1", Keyring()).wait()
    assert puller.store.get("app:1").id == image.id
    assert f"{name}/app@{puller.registry.descriptor['digest']}" in image.repo_digests


def test_without_a_registry_for_such_names_the_refusal_says_what_to_do(puller: Puller) -> None:
    with pytest.raises(PullFailed, match=r'"app:1": .*unqualified-search-registries in /'):
        puller.pulls.start("app:1", Keyring()).wait()


def test_a_proxy_is_asked_where_the_environment_names_one(
    puller: Puller, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    hosts = puller.directory / "certs.d" / "far.example"
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text('server = "http://far.example"')
    assert puller.pull("far.example").layers
    assert server.requests[0].head.startswith(b"HEAD http://far.example/v2/app/manifests/1 HTTP")
    monkeypatch.setenv("no_proxy", "far.example")
    with pytest.raises(RegistryUnavailable):
        puller.pull("far.example", tag=":2")


# ---- once is enough ----


def test_many_that_want_an_image_at_once_have_it_fetched_once(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    name = puller.plain(server)
    pulls = [puller.pulls.start(f"{name}/app:1", Keyring()) for _ in range(20)]
    assert len({pull.wait().id for pull in pulls}) == 1
    assert paths(server).count(f"blobs/{registry.layer()}") == 1


def test_who_has_other_credentials_shares_no_pull(puller: Puller, server: ScriptedServer) -> None:
    """The name alone does not say whose credentials count: a mirror's, a search registry's."""
    name = f"{puller.plain(server)}/app:1"
    rings = [Keyring(), Keyring([("mirror.local", ALI)]), Keyring([("mirror.local", ALI)])]
    pulls = [puller.pulls.start(name, ring) for ring in rings]
    assert (pulls[0] is pulls[1], pulls[1] is pulls[2]) == (False, True)
    assert len({pull.wait().id for pull in pulls}) == 1
    assert paths(server).count(f"blobs/{puller.registry.layer()}") == 1


def test_who_asks_after_a_tag_has_moved_gets_what_it_means_now(
    puller: Puller, registry: FakeRegistry, server: ScriptedServer
) -> None:
    newer = FakeRegistry(layer_tar({"newer": b"1"}))
    has_moved, may_go_on = threading.Event(), threading.Event()

    def script(request: Request) -> Any:
        if request.path.endswith(registry.layer()):
            has_moved.set()
            assert may_go_on.wait(10)
        old = registry.answer(request)
        return newer.answer(request) if has_moved.is_set() and b" 404 " in old[:20] else old

    def answer(request: Request) -> Any:
        is_tag = request.path.endswith("manifests/1") and has_moved.is_set()
        return newer.answer(request) if is_tag else script(request)

    server.script = answer
    name = f"{puller.plain(server)}/app:1"
    old = puller.pulls.start(name, Keyring(), is_fresh=True)
    assert has_moved.wait(10)
    assert puller.pulls.start(name, Keyring()) is old
    new = puller.pulls.start(name, Keyring(), is_fresh=True).wait()
    may_go_on.set()
    assert old.wait().id != new.id
    assert [p.name for p in Path(new.layers[0]).iterdir()] == ["newer"]


def test_more_pulls_than_the_rate_allows_wait_their_turn() -> None:
    rate = _Rate(5, 10)
    waits = [rate.wait_s() for _ in range(15)]
    assert waits[:10] == [0.0] * 10
    assert waits[-1] == pytest.approx(1.0, abs=0.1)
    assert [_Rate(0, 1).wait_s() for _ in range(3)] == [0.0] * 3


def test_a_layer_that_two_images_share_is_fetched_once(tmp_path: Path) -> None:
    registry = FakeRegistry(BIG, layer_tar({"one": b"1"}))
    both = {"1": registry.descriptor["digest"]}
    both["2"] = registry.layout.image(
        "app:2", [BIG, layer_tar({"two": b"2"})], compress=lambda layer: layer
    )["digest"]

    def script(request: Request) -> bytes:
        tag = request.path.rpartition("/")[2]
        path = request.path[: -len(tag)] + both.get(tag, tag)
        return registry.answer(Request(request.method, path, {}, b"", request.head))

    puller = Puller(tmp_path, registry)
    with scripted_server(script) as server:
        name = puller.plain(server)
        pulls = [puller.pulls.start(f"{name}/app:{tag}", Keyring()) for tag in both]
        assert [len(pull.wait().layers) for pull in pulls] == [2, 2]
        assert paths(server).count(f"blobs/{digest(BIG)}") == 1


def test_an_image_that_is_still_the_same_costs_one_question(
    puller: Puller, server: ScriptedServer
) -> None:
    name = puller.plain(server)
    puller.pull(name)
    before = len(server.requests)
    puller.pull(name)
    assert [r.method for r in server.requests[before:]] == ["HEAD"]
