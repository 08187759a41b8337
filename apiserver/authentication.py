"""Who asks: a client certificate of the cluster's CA, or the status page's session. Room apiserver.

The certificate's CN is the user, its O's are the groups, as in Kubernetes.
"""

from __future__ import annotations

from typing import Any

from apiserver.http_server import Connection
from apiserver.request_info import User

AUTHENTICATED = "system:authenticated"


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
