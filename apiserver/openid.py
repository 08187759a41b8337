"""Where others learn who signs the tokens of ServiceAccounts (OpenID Connect Discovery). Pure.

Room apiserver; called by routes.py.
"""

from __future__ import annotations

from typing import Any

from apiserver.service_account_tokens import ISSUER

CONFIGURATION_PATH, KEYS_PATH = "/.well-known/openid-configuration", "/openid/v1/jwks"
KEY_SET = "application/jwk-set+json"


def configuration(host: str) -> dict[str, Any]:
    """`host` is how the caller reached us, "127.0.0.1:6443"."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"https://{host}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
