"""A client that hides nothing: what goes over the wire is what the test says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from podium.client.config import load_kubeconfig, ssl_context
from tests.support.api_server import ApiServerProcess

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Answer:
    code: int
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def reason(self) -> str:
        return str(self.json["reason"])

    @property
    def names(self) -> list[str]:
        """Of a list's items."""
        return [item["metadata"]["name"] for item in self.json["items"]]


class Api:
    """One keep-alive connection. `identity` as in ApiServerProcess.kubeconfig; None shows no
    certificate."""

    def __init__(self, server: ApiServerProcess, identity: str | None = "admin") -> None:
        self.server = server
        config = load_kubeconfig(server.kubeconfig(identity or "admin"))
        if identity is None:
            import ssl

            self.context = ssl.create_default_context(cadata=(config.ca or b"").decode())
        else:
            self.context = ssl_context(config)
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connect(self) -> http.client.HTTPSConnection:
        """A connection of its own, for who closes it."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.context, timeout=20
        )

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> Answer:
        """`body` is sent as it is when it is bytes, as JSON otherwise; `accept="…"` makes a
        header."""
        if self._connection is None:
            self._connection = self.connect()
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if raw is not None:
            sent["Content-Type"] = content_type
        self._connection.request(method, path, raw, sent)
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, content_type: str = "application/json") -> Answer:
        return self.call("POST", path, body, content_type)

    def put(self, path: str, body: Any) -> Answer:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Answer:
        return self.call("PATCH", path, body, content_type)

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.call("DELETE", path, body)

    def revision(self) -> int:
        """The store's, by a list of nothing."""
        return int(self.get("/api/v1/secrets?limit=1").json["metadata"]["resourceVersion"])

    @contextmanager
    def watch(self, path: str, query: str = "", **headers: str) -> Iterator[Watch]:
        """The events of a watch; its own connection, closed at the end."""
        connection = self.connect()
        try:
            connection.request("GET", f"{path}?watch=1&{query}", headers=headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield Watch(response)
            response.close()
        finally:
            connection.close()


class Watch:
    """Events as they come; `next_event` waits at most the connection's timeout."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def next_event(self) -> Object:
        line = self._response.readline()
        assert line, "the watch ended"
        event: Object = json.loads(line)
        return event

    def take(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [self.next_event() for _ in range(count)]
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]

    def rest(self) -> list[Object]:
        """Everything until the server ends the watch."""
        return [json.loads(line) for line in self._response.read().splitlines()]


# ---- objects -----------------------------------------------------------------------------------


def a_config_map(name: str = "cm", labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: Object = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def a_new_pod(name: str = "web", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata: Object = {"name": name} | ({"labels": labels} if labels else {})
    container = {"name": "main", "image": "host", "command": ["sleep", "9"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **spec},
    }


def a_new_deployment(name: str = "web", replicas: int = 2) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": a_new_pod()["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def apps(ns: str) -> str:
    """The same namespace in apps/v1."""
    return ns.replace("/api/v1", "/apis/apps/v1")
