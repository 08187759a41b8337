"""Who asks: a client certificate, a ServiceAccount's token, or the status page's session. Room
apiserver.

Called by routes.py. The certificate's CN is the user, its O's are the groups, as in Kubernetes.
"""

from __future__ import annotations

import logging
from typing import Any

from apiserver.errors import ApiError
from apiserver.http_server import Connection
from apiserver.request_info import User
from apiserver.service_account_tokens import AUTHENTICATED, ServiceAccountTokens
from apiserver.sessions import Sessions, cookie_of, take_write_key
from apiserver.token_signer import BadToken
from podium.api import status

log = logging.getLogger("apiserver.authentication")


class Authenticator:
    """One per server."""

    def __init__(self, sessions: Sessions, tokens: ServiceAccountTokens) -> None:
        self.sessions, self.tokens = sessions, tokens

    def user(self, environ: dict[str, Any]) -> User:
        """Who sent this request; ApiError 401 for nobody."""
        user = user_of_connection(environ["podium.connection"])
        if user is None and "HTTP_AUTHORIZATION" in environ:
            user = self._user_of_token(environ["HTTP_AUTHORIZATION"])
        if user is None and "HTTP_COOKIE" in environ:
            cookie = cookie_of(environ["HTTP_COOKIE"])
            user = self.sessions.user(cookie, take_write_key(environ))
        if user is None:
            raise ApiError(status.unauthorized())
        return user

    def _user_of_token(self, header: str) -> User | None:
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            return self.tokens.authenticate(token.strip())[0]
        except BadToken as error:
            log.info("a token is refused: %s", error)
            return None


def user_of_certificate(certificate: dict[str, Any]) -> User | None:
    """From `SSLSocket.getpeercert()`, which is empty when the client showed none."""
    name, groups = "", []
    for part in certificate.get("subject", ()):
        for field, value in part:
            if field == "commonName":
                name = value
            elif field == "organizationName":
                groups.append(value)
    return User(name, (*groups, AUTHENTICATED)) if name else None


def user_of_connection(connection: Connection) -> User | None:
    """The user of a connection's certificate, worked out once."""
    if connection.identity is None and connection.peer_certificate:
        connection.identity = user_of_certificate(connection.peer_certificate)
    return connection.identity if isinstance(connection.identity, User) else None
