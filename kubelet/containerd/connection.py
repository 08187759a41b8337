"""The conversation with containerd: gRPC over its unix socket. Runs in the kubelet's threads.

    cri = Connection("/run/containerd/containerd.sock")
    cri.runtime("StopPodSandbox", pod_sandbox_id="…")

A failure is `RuntimeFailure` with containerd's own words; `NotThere` when it does not know the
thing, `Unreachable` when it does not answer at all: then a retry may help.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from kubelet.containerd.messages import CONTAINERD, CRI, message
from kubelet.runtime.errors import RuntimeFailure

NAMESPACE = "k8s.io"  # where containerd keeps what the CRI has made
CALL_TIMEOUT_S = 120.0
_MAX_BYTES = 16 << 20
_TASKS, _CONTAINERS = "containerd.services.tasks.v1.Tasks", "containerd.services.containers.v1"
_EVENTS = "containerd.services.events.v1.Events"
HELLO = "/podium/hello"
_HELLO_EVERY_S = 0.02
_METADATA = (("containerd-namespace", NAMESPACE),)
_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_BYTES),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
]


class NotThere(RuntimeFailure):
    """containerd does not know it."""


class Unreachable(RuntimeFailure):
    """containerd does not run, or does not answer."""


class Connection:
    """Thread-safe. Connects by itself, and again after containerd was away."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._channel = grpc.insecure_channel(f"unix:{socket_path}", options=_OPTIONS)

    def runtime(self, call: str, *, timeout_s: float = CALL_TIMEOUT_S, **fields: Any) -> Any:
        """A call of the CRI's RuntimeService; the answer's message."""
        return self._cri("RuntimeService", call, timeout_s, fields)

    def image(self, call: str, *, timeout_s: float = CALL_TIMEOUT_S, **fields: Any) -> Any:
        """A call of the CRI's ImageService; the answer's message."""
        return self._cri("ImageService", call, timeout_s, fields)

    def _cri(self, service: str, call: str, timeout_s: float, fields: dict[str, Any]) -> Any:
        question = message(CRI, f"{call}Request")(**fields)
        answer = message(CRI, f"{call}Response")
        return self._ask(f"/runtime.v1.{service}/{call}", question, answer, timeout_s)

    def task(self, call: str, question: Any, answer: str = "Empty", timeout_s: float = 60.0) -> Any:
        """A call of containerd's task service; `timeout_s` 0 waits for ever."""
        kind = message(CONTAINERD, answer)
        return self._ask(f"/{_TASKS}/{call}", question, kind, timeout_s or None)

    def container_spec(self, container_id: str) -> bytes:
        """The OCI runtime specification of a container, JSON."""
        answer = self._ask(
            f"/{_CONTAINERS}.Containers/Get",
            message(CONTAINERD, "GetContainerRequest")(id=container_id),
            message(CONTAINERD, "GetContainerResponse"),
            CALL_TIMEOUT_S,
        )
        return bytes(answer.container.spec.value)

    def events(self) -> Iterator[Any]:
        """The start and the end of every task from now on, as Envelopes; the first one is our own
        and says that from here on nothing is missed. Raises Unreachable when containerd ends."""
        kind = message(CONTAINERD, "SubscribeRequest")
        follow = self._channel.unary_stream(
            f"/{_EVENTS}/Subscribe",
            kind.SerializeToString,
            message(CONTAINERD, "Envelope").FromString,
        )
        topics = (HELLO, "/tasks/start", "/tasks/exit")
        filters = [f'namespace=={NAMESPACE},topic=="{topic}"' for topic in topics]
        is_heard = threading.Event()
        threading.Thread(
            target=self._say_hello, args=(is_heard,), name="containerd-hello", daemon=True
        ).start()
        try:
            for envelope in follow(kind(filters=filters), metadata=_METADATA):
                if envelope.topic != HELLO or not is_heard.is_set():
                    is_heard.set()
                    yield envelope
        except grpc.RpcError as error:
            raise Unreachable(f"containerd's events: {error.details()}") from None
        finally:
            is_heard.set()

    def _say_hello(self, is_heard: threading.Event) -> None:
        """containerd does not tell when it has begun to listen for us; hearing ourselves does."""
        words = message(CONTAINERD, "PublishRequest")(topic=HELLO, event={"type_url": "hello"})
        while not is_heard.wait(_HELLO_EVERY_S):
            with contextlib.suppress(RuntimeFailure):  # then the subscription ends as well
                self._ask(f"/{_EVENTS}/Publish", words, message(CONTAINERD, "Empty"), 5.0)

    def _ask(self, path: str, question: Any, answer: Any, timeout_s: float | None) -> Any:
        ask = self._channel.unary_unary(path, type(question).SerializeToString, answer.FromString)
        try:
            return ask(question, timeout=timeout_s, metadata=_METADATA, wait_for_ready=False)
        except grpc.RpcError as error:
            raise _failure(path.rpartition("/")[2], error) from None

    def close(self) -> None:
        self._channel.close()


def _failure(call: str, error: Any) -> RuntimeFailure:
    words = f"{call}: {error.details()}"
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return NotThere(words)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unreachable(words)
    return RuntimeFailure(words)
