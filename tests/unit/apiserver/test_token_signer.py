"""Which tokens are taken for our own."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from apiserver.token_signer import BadToken, TokenSigner
from podium.cli.pki import create_pki


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> TokenSigner:
    return a_signer(tmp_path_factory.mktemp("one"))


def a_signer(path: Path) -> TokenSigner:
    create_pki(path, ["node-a"])
    return TokenSigner(path / "pki/sa.key")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_gives_back_what_was_signed(signer: TokenSigner) -> None:
    assert signer.verify(signer.sign({"sub": "robot"})) == {"sub": "robot"}


def test_a_token_of_another_cluster_is_refused(signer: TokenSigner, tmp_path: Path) -> None:
    with pytest.raises(BadToken):
        signer.verify(a_signer(tmp_path).sign({"sub": "robot"}))


def test_changed_claims_are_refused(signer: TokenSigner) -> None:
    header, _, signature = signer.sign({"sub": "robot"}).split(".")
    with pytest.raises(BadToken):
        signer.verify(f"{header}.{encoded({'sub': 'admin'})}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256"])
def test_another_algorithm_is_refused_whatever_it_signs(
    signer: TokenSigner, algorithm: str
) -> None:
    _, claims, signature = signer.sign({"sub": "robot"}).split(".")
    with pytest.raises(BadToken):
        signer.verify(f"{encoded({'alg': algorithm})}.{claims}.{signature}")


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "x" * 20000, "e30.e30."]
)
def test_what_is_no_token_is_refused(signer: TokenSigner, text: str) -> None:
    with pytest.raises(BadToken):
        signer.verify(text)
