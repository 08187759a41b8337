"""Signs and checks JSON Web Tokens with the cluster's own key (ES256, RFC 7515 and 7518).

Room apiserver; used by service_account_tokens.py. The library is loaded with the first token: it
takes 65 ms and 12 MB.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

Object = dict[str, Any]

_NUMBER_BYTES = 32  # of each half of an ES256 signature
MAX_TOKEN_CHARACTERS = 16_384


class BadToken(Exception):
    """It is no token, or not one that this key has signed."""


class TokenSigner:
    """`key_file` is a PEM file with a P-256 key, which `podium up` makes."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    @cached_property
    def _key(self) -> Any:
        from cryptography.hazmat.primitives import serialization

        return serialization.load_pem_private_key(self._key_file.read_bytes(), None)

    @cached_property
    def public_key(self) -> Object:
        """As a JSON Web Key."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_encoded(n.to_bytes(_NUMBER_BYTES, "big")) for n in (numbers.x, numbers.y))
        key = {"crv": "P-256", "kty": "EC", "x": x, "y": y}  # sorted: RFC 7638 hashes it like this
        thumbprint = _encoded(hashlib.sha256(orjson.dumps(key)).digest())
        return {"use": "sig", "alg": "ES256", "kid": thumbprint, **key}

    def sign(self, claims: Object) -> str:
        """A token of these claims."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        header = {"alg": "ES256", "kid": self.public_key["kid"]}
        said = f"{_encoded(orjson.dumps(header))}.{_encoded(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(said.encode(), _algorithm()))
        signature = r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")
        return f"{said}.{_encoded(signature)}"

    def verify(self, token: str) -> Object:
        """The claims of a token that this key has signed, whatever its time; raises BadToken."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        said, _, signature = token.rpartition(".")
        try:
            header, claims = (orjson.loads(_decoded(part)) for part in said.split("."))
            raw = _decoded(signature)
        except ValueError as error:
            raise BadToken("malformed") from error
        is_ours = isinstance(header, dict) and header.get("alg") == "ES256"
        if not is_ours or not isinstance(claims, dict) or len(raw) != 2 * _NUMBER_BYTES:
            raise BadToken("malformed, or of another algorithm")
        halves = (int.from_bytes(h, "big") for h in (raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]))
        try:
            public = self._key.public_key()
            public.verify(encode_dss_signature(*halves), said.encode(), _algorithm())
        except InvalidSignature as error:
            raise BadToken("the signature is not ours") from error
        return claims


def _algorithm() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(hashes.SHA256())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Raises ValueError, also for what base64 would silently skip."""
    if not text.isascii() or len(text) > MAX_TOKEN_CHARACTERS:
        raise ValueError(text[:20])
    standard = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(text) % 4), validate=True)
