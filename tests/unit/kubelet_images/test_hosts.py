"""Where a registry is asked: containerd's hosts directory, in kubelet/images/registry/hosts.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.images import PullFailed
from kubelet.images.registry.hosts import Endpoint, Registries, is_loopback

NAME = "reg.local:5000"


def registries(directory: Path, text: str, host: str = NAME) -> Registries:
    (directory / "certs.d" / host).mkdir(parents=True)
    (directory / "certs.d" / host / "hosts.toml").write_text(text)
    return Registries(directory)


def test_without_a_word_it_is_https_and_on_loopback_also_http(tmp_path: Path) -> None:
    found = Registries(tmp_path)
    assert found.endpoints(NAME) == [Endpoint("https", NAME)]
    assert [e.scheme for e in found.endpoints("localhost:5000")] == ["https", "http"]


@pytest.mark.parametrize(
    ("netloc", "is_it"),
    [("localhost", True), ("127.0.0.9:5000", True), ("[::1]:5000", True), ("10.0.0.1", False),
     ("localhost.evil", False), ("127.0.0.1.evil", False)],
)  # fmt: skip
def test_loopback_is_told_from_what_looks_like_it(netloc: str, is_it: bool) -> None:
    assert is_loopback(netloc) is is_it


def test_mirrors_come_first_with_what_is_said_of_each(tmp_path: Path) -> None:
    text = """
        server = "http://real.local"
        [host."https://mirror.local/deep"]
        capabilities = ["pull"]
        ca = ["one.pem", "/etc/two.pem"]
        client = [["a.pem", "a.key"]]
        skip_verify = true
        override_path = true
        [host."https://mirror.local/deep".header]
        X-Who = ["a", "b"]
    """
    mirror, server = registries(tmp_path, text).endpoints(NAME)
    here = tmp_path / "certs.d" / NAME
    assert mirror == Endpoint(
        "https", "mirror.local", "/deep", ("pull",),
        ca=(f"{here}/one.pem", "/etc/two.pem"), client=((f"{here}/a.pem", f"{here}/a.key"),),
        skip_verify=True, headers=(("X-Who", "a, b"),), is_mirror=True,
    )  # fmt: skip
    assert server == Endpoint("http", "real.local", "/v2")


def test_colons_may_be_underscores_and_default_is_for_all_others(tmp_path: Path) -> None:
    registries(tmp_path, 'server = "http://named.local"', "reg.local_5000_")
    found = registries(tmp_path, '[host."http://any.local"]', "_default")
    assert [e.netloc for e in found.endpoints(NAME)] == ["named.local"]
    assert [e.netloc for e in found.endpoints("other.local")] == ["any.local", "other.local"]


@pytest.mark.parametrize(
    "text", ["server = ", 'server = "ftp://x"', "host = 1", '[host."https://"]', "ca = 1"]
)
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(PullFailed, match=r"hosts\.toml: "):
        registries(tmp_path, text).endpoints(NAME)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (endpoint,) = registries(tmp_path, 'ca = "gone.pem"').endpoints(NAME)
    with pytest.raises(PullFailed, match=r"a certificate for reg\.local:5000: "):
        endpoint.tls()


def test_short_names_are_looked_for_in_each_place(tmp_path: Path) -> None:
    text = 'unqualified-search-registries = ["reg.local:5000", "mirror.local/library/"]'
    (tmp_path / "registries.conf").write_text(text)
    found = Registries(tmp_path)
    assert found.candidates("docker.io/library/app:1") == [
        "reg.local:5000/app:1", "mirror.local/library/app:1",
    ]  # fmt: skip
    assert found.candidates("docker.io/team/app:1")[0] == "reg.local:5000/team/app:1"
    assert found.candidates("other.local/app:1") == ["other.local/app:1"]


def test_a_list_of_places_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registries.conf").write_text('unqualified-search-registries = "reg.local"')
    with pytest.raises(PullFailed, match="is no list of names"):
        Registries(tmp_path).candidates("docker.io/library/app:1")
