"""Tokens by which a Pod is a ServiceAccount: made, and recognised again as long as they hold.

Room apiserver; used by authentication.py, reviews.py and token_requests.py. A token says for whom
it is (audience), how long, and by whose leave: it ends with its ServiceAccount and with the Pod,
Secret or Node that it is bound to, at once, for those are looked up each time.
Source: Kubernetes' `pkg/serviceaccount/claims.go`, v1.32.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from apiserver.request_info import User
from apiserver.storage import Store
from apiserver.token_signer import BadToken, TokenSigner

Object = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
API_AUDIENCES = (ISSUER,)
PREFIX = "system:serviceaccount:"
AUTHENTICATED = "system:authenticated"
_LEEWAY_S = 10  # clocks differ
_REMEMBERED = 1024  # tokens whose signature has been checked
_EXTRA = "authentication.kubernetes.io/"


class ServiceAccountTokens:
    """One per server."""

    def __init__(self, store: Store, signer: TokenSigner) -> None:
        self._store, self.signer = store, signer
        self._checked: OrderedDict[str, Object] = OrderedDict()

    def issue(
        self, account: Object, audiences: list[str], lifetime_s: int, bound: Iterable[Object] = ()
    ) -> tuple[str, float]:
        """A token and when it ends (seconds since the epoch). `bound` are the objects that it ends
        with: a Pod with its Node, a Secret, or a Node."""
        now = int(time.time())
        about = account["metadata"]
        private = {"namespace": about["namespace"], "serviceaccount": _named(account)}
        private |= {obj["kind"].lower(): _named(obj) for obj in bound}
        claims = {
            "aud": audiences or list(API_AUDIENCES),
            "exp": now + lifetime_s,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"{PREFIX}{about['namespace']}:{about['name']}",
        }
        return self.signer.sign(claims), float(now + lifetime_s)

    def authenticate(
        self, token: str, audiences: Iterable[str] = API_AUDIENCES
    ) -> tuple[User, list[str]]:
        """Whose token it is and for which of `audiences` it holds; raises BadToken."""
        claims = self._claims(token)
        now = time.time()
        if claims.get("iss") != ISSUER:
            raise BadToken("it was issued by somebody else")
        if now > _number(claims, "exp") + _LEEWAY_S:
            raise BadToken("the token has expired")
        if now < _number(claims, "nbf") - _LEEWAY_S:
            raise BadToken("the token is not valid yet")
        meant = claims.get("aud")
        shared = [a for a in audiences if isinstance(meant, list) and a in meant]
        if not shared:
            raise BadToken(f"token audiences {meant!r} is invalid for the target audiences")
        return self._user(claims), shared

    def _claims(self, token: str) -> Object:
        if token in self._checked:
            self._checked.move_to_end(token)
            return self._checked[token]
        claims = self.signer.verify(token)
        self._checked[token] = claims
        if len(self._checked) > _REMEMBERED:
            self._checked.popitem(last=False)
        return claims

    def _user(self, claims: Object) -> User:
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        self._check_there("serviceaccounts", namespace, account)
        extra = {"credential-id": f"JTI={claims.get('jti', '')}"}
        for kind in ("pod", "secret", "node"):
            bound = private.get(kind)
            if bound is None:
                continue
            if kind != "node" or "pod" not in private:  # a Pod's node is told, not depended on
                self._check_there(f"{kind}s", "" if kind == "node" else namespace, bound)
            if kind != "secret":
                extra[f"{kind}-name"], extra[f"{kind}-uid"] = bound["name"], bound.get("uid", "")
        return User(
            name=f"{PREFIX}{namespace}:{account['name']}",
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED),
            uid=account["uid"],
            extra=tuple((f"{_EXTRA}{key}", (value,)) for key, value in sorted(extra.items())),
        )

    def _check_there(self, plural: str, namespace: str, reference: Object) -> None:
        """BadToken unless that very object is still there."""
        record = self._store.get(plural, namespace, reference.get("name", ""))
        if record is None or record.uid != reference.get("uid"):
            raise BadToken(f"{plural} {reference.get('name')!r} of the token is gone")


def _named(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _number(claims: Object, name: str) -> float:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
