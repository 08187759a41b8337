"""Room podium/cli: one verb's connection to the API, on top of podium.client.

ssl, http and orjson are imported at the first request, not before. The namespace a verb works in
and the way back from paths to kinds live here too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from podium.api.scheme import Resource
from podium.cli.output import TABLE

if TYPE_CHECKING:
    import ssl

    from podium.client.config import ClientConfig
    from podium.client.connection import Response
    from podium.client.http import Client

JSON = "application/json"
CONNECT_TIMEOUT_S = 10.0


class Connection:
    """The API of the cluster that a kubeconfig names."""

    def __init__(self, kubeconfig: Path, namespace: str | None) -> None:
        self.kubeconfig = kubeconfig
        self.given_namespace = namespace
        self.timeout_s = 60.0

    @property
    def namespace(self) -> str:
        """The namespace to work in: -n, else "default"."""
        return self.given_namespace or "default"

    def namespace_of(self, resource: Resource) -> str | None:
        """The namespace for objects of a kind; None for kinds that have none."""
        return self.namespace if resource.namespaced else None

    @functools.cached_property
    def config(self) -> ClientConfig:
        """Server and identity."""
        from podium.client.config import load_kubeconfig

        try:
            return load_kubeconfig(self.kubeconfig)
        except FileNotFoundError:
            raise click.ClickException(
                f"there is no cluster here: {self.kubeconfig} does not exist; try: podium up"
            ) from None
        except PermissionError:
            raise click.ClickException(
                f"{self.kubeconfig} is readable by its owner only; try sudo"
            ) from None
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    @functools.cached_property
    def client(self) -> Client:
        """The client; made at the first request."""
        from podium.client.http import Client

        return Client(self.config, user_agent="podium", timeout_s=self.timeout_s)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """A request with a JSON body (or none) and a JSON answer; raises ApiError."""
        response = self.open(
            method, path, query=query, body=body, content_type=content_type, accept=accept
        )
        return response.json()  # type: ignore[no-any-return]

    def open(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        stream: bool = False,
    ) -> Response:
        """The same, with the answer as it comes. `body`: an object, or an iterator of bytes."""
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
            if isinstance(body, dict | list):
                import orjson

                body = orjson.dumps(body)
        response = self.client.raw(
            method, path, query=query, body=body, headers=headers, stream=stream
        )
        if "warning" in response.headers:
            _tell_warnings(response.headers["warning"])
        return response

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object."""
        return self.request("GET", resource.path(namespace or self.namespace_of(resource), name))

    def table(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        """A list (in one piece) or an object as the server's Table."""
        return self.request("GET", path, query=query, accept=TABLE)

    def watch(
        self, path: str, query: dict[str, Any], *, accept: str = JSON
    ) -> Iterator[dict[str, Any]]:
        """Events {"type", "object"} of a watch until the server ends it."""
        import orjson

        response = self.open(
            "GET", path, query={**query, "watch": "true"}, accept=accept, stream=True
        )
        try:
            for line in response.lines():
                if line:
                    yield orjson.loads(line)
        finally:
            response.close()

    def dial(self) -> tuple[ssl.SSLSocket, str]:
        """A TLS connection of our own to the server, and its "host:port"; for WebSockets."""
        import socket
        from urllib.parse import urlsplit

        from podium.client.config import ssl_context
        from podium.client.errors import Unreachable

        config = self.config
        try:
            raw = socket.create_connection(config.address, CONNECT_TIMEOUT_S)
            tls = ssl_context(config).wrap_socket(raw, server_hostname=config.server_name)
        except OSError as error:
            raise Unreachable(f"{config.server}: {error}") from error
        return tls, urlsplit(config.server).netloc


def _tell_warnings(header: str) -> None:
    """`299 - "unknown field \\"spec.x\\""`, perhaps several of them, as kubectl shows them."""
    for text in re.findall(r'\b299 \S+ "((?:\\.|[^"\\])*)"', header):
        click.echo("Warning: " + re.sub(r"\\(.)", r"\1", text), err=True)
