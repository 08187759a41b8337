"""Which credentials go to which registry: registry/credentials.py and challenge.py."""

from __future__ import annotations

import base64
import json

import pytest

from kubelet.images.registry.challenge import Challenge, read_challenges
from kubelet.images.registry.credentials import BadConfig, Credential, Keyring, read_config

ALI, EVA = Credential("ali", "1"), Credential("eva", "2")


@pytest.mark.parametrize(
    ("place", "repository", "is_given"),
    [
        ("reg.local", "reg.local/app", True),
        ("https://reg.local", "reg.local/app", True),
        ("https://reg.local/v1/", "reg.local/app", True),
        ("http://reg.local/v2/team", "reg.local/team/app", True),
        ("reg.local", "reg.local:5000/app", False),
        ("reg.local:5000", "reg.local:5000/app", True),
        ("*.local", "reg.local/app", True),
        ("*.local", "a.reg.local/app", False),
        ("*.*.local:5000", "a.reg.local:5000/app", True),
        ("[reg.local", "reg.local/app", False),
        ("reg.local/team", "reg.local/team/app", True),
        ("reg.local/team", "reg.local/other/app", False),
        ("other.local", "reg.local/app", False),
        ("reg.local.evil", "reg.local/app", False),
    ],
)  # fmt: skip
def test_a_place_matches_as_the_kubelet_matches_it(
    place: str, repository: str, is_given: bool
) -> None:
    assert list(Keyring([(place, ALI)]).lookup(repository)) == ([ALI] if is_given else [])


def test_the_most_special_place_comes_first_and_all_are_tried() -> None:
    ring = Keyring([("reg.local", ALI), ("reg.local/team", EVA), ("reg.local", ALI)])
    assert list(ring.lookup("reg.local/team/app")) == [EVA, ALI]


def test_auth_wins_over_username_and_password() -> None:
    entry = {"auth": base64.b64encode(b"ali:1").decode(), "username": "eva", "password": "2"}
    content = json.dumps({"auths": {"reg.local": entry}}).encode()
    assert read_config(content) == [("reg.local", ALI)]


def test_the_older_form_has_no_auths() -> None:
    content = json.dumps({"reg.local": {"username": "eva", "password": "2"}}).encode()
    assert read_config(content, is_old=True) == [("reg.local", EVA)]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"auths": 1}', b'{"auths": {"a": 1}}', b'{"auths": {"a": {"auth": "!"}}}',
     b'{"auths": {"a": {"auth": "YQ=="}}}', b"\xff"],
)  # fmt: skip
def test_what_is_no_docker_config_is_refused_without_showing_it(content: bytes) -> None:
    with pytest.raises(BadConfig, match=r"^not a docker config: \w+$"):
        read_config(content)


def test_a_password_is_in_no_log() -> None:
    assert "secret" not in repr(Credential("ali", "secret"))


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ('Bearer realm="https://a/t",service="reg, one",scope="repository:x:pull,push"',
         [Challenge("bearer", {"realm": "https://a/t", "service": "reg, one",
                               "scope": "repository:x:pull,push"})]),
        ('Basic realm="a \\"b\\""', [Challenge("basic", {"realm": 'a "b"'})]),
        ('Negotiate, Basic realm=x', [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        ("", []),
        ("===", []),
    ],
)  # fmt: skip
def test_a_challenge_is_read_with_its_parameters(header: str, challenges: list[Challenge]) -> None:
    assert read_challenges([header]) == challenges
