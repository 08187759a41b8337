"""Room podium/cli: `podium port-forward` leads ports of this machine to ports of a Pod.

All connections go through one WebSocket, as SPDY streams (`SPDY/3.1+portforward.k8s.io`): for each
an error stream and a data stream. One thread and one select().
"""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options
from podium.cli.pods_of import find_pod

if TYPE_CHECKING:
    from podium.cli.connection import Connection
    from podium.client import spdy

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHUNK = 32 * 1024
MOST_UNTAKEN = 1024 * 1024  # of one local connection; until it is taken nothing more is read


@click.command()
@click.argument("pod", metavar="POD|KIND/NAME")
@click.argument("ports", nargs=-1, required=True, metavar="[LOCAL:]REMOTE…")
@click.option("--address", default="127.0.0.1", help="Where to listen (default: 127.0.0.1).")
@api_options
def command(*, api: Connection, pod: str, ports: tuple[str, ...], address: str) -> None:
    """Lead local ports to a Pod's, until Ctrl-C: podium port-forward web 8080:80."""
    pairs = [parse_ports(word) for word in ports]
    found = find_pod(api, pod)
    phase = found.get("status", {}).get("phase")
    if phase != "Running":
        raise click.ClickException(
            f"unable to forward port because pod is not running. Current status={phase}"
        )
    about = found["metadata"]
    path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/portforward"
    with contextlib.ExitStack() as stack:
        listeners = {
            stack.enter_context(_listen(address, local)): remote for local, remote in pairs
        }
        sock, host = api.dial()
        stack.enter_context(sock)
        with contextlib.suppress(KeyboardInterrupt):
            Forward(sock, host, path, listeners).run()


def parse_ports(word: str) -> tuple[int, int]:
    """ "8080:80" → (8080, 80); "80" → (80, 80); ":80" → (0, 80): any free one."""
    local, colon, remote = word.rpartition(":")
    numbers = [local or "0", remote] if colon else [remote, remote]
    if not all(number.isdigit() and int(number) < 65536 for number in numbers) or remote == "0":
        raise click.UsageError(f"{word!r} is not [LOCAL:]REMOTE, two ports of which 8080:80 is one")
    return int(numbers[0]), int(numbers[1])


def _listen(address: str, port: int) -> socket.socket:
    try:
        return socket.create_server((address, port))
    except OSError as failure:
        raise click.ClickException(f"unable to listen on port {port}: {failure.strerror}") from None


@dataclass
class Local:
    """One connection to us. Its number is its data stream's."""

    sock: socket.socket
    port: int
    untaken: bytearray = field(default_factory=bytearray)  # what the client has not taken yet
    output_ends: bool = False  # nothing more comes from the Pod
    input_ended: bool = False  # nor from the client


class Forward:
    """`listeners` is the Pod's port by the socket that listens for it."""

    def __init__(
        self, sock: Any, host: str, target: str, listeners: dict[socket.socket, int]
    ) -> None:
        from podium.cli.websocket import WebSocket
        from podium.client import spdy

        self._websocket = WebSocket(sock, host, target, [PROTOCOL])
        self._session = spdy.Session(self._websocket.send, is_client=True)
        self._spdy = spdy
        self._listeners = listeners
        self._locals: dict[int, Local] = {}  # by data stream
        self._errors: dict[int, tuple[int, int]] = {}  # error stream → data stream, port
        self._requests = 0
        self._has_begun = False

    def run(self) -> None:
        """Until the Pod is gone, or for ever."""
        try:
            while not self._websocket.is_closed:
                self._step()
        except self._spdy.Gone as failure:
            raise click.ClickException(str(failure)) from None
        finally:
            for local in self._locals.values():
                local.sock.close()
        raise click.ClickException("lost connection to pod")

    def _step(self) -> None:
        websocket = self._websocket
        is_jammed = any(len(local.untaken) > MOST_UNTAKEN for local in self._locals.values())
        has_input = websocket.has_input and not is_jammed
        reading: list[Any] = [] if is_jammed else [websocket.sock]
        reading += self._listeners if self._has_begun else []
        if not websocket.is_full:
            reading += [local.sock for local in self._locals.values() if not local.input_ended]
        writing: list[Any] = [websocket.sock] if websocket.has_unsent else []
        writing += [local.sock for local in self._locals.values() if local.untaken]
        readable, writable, _ = select.select(reading, writing, [], 0 if has_input else None)
        if websocket.sock in writable:
            websocket.send_more()
        if websocket.sock in readable or has_input:
            self._receive()
        for listener, port in self._listeners.items():
            if listener in readable:
                self._accept(listener, port)
        for stream, local in list(self._locals.items()):
            if local.sock in writable:
                self._write(stream, local)
            if local.sock in readable and stream in self._locals:
                self._read(stream, local)

    # --- from here ------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, port: int) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        click.echo(f"Handling connection for {listener.getsockname()[1]}")
        self._requests += 1
        headers = {"port": str(port), "requestid": str(self._requests)}
        error = self._session.open({"streamtype": "error", **headers})
        self._session.write(error, b"", is_last=True)
        stream = self._session.open({"streamtype": "data", **headers})
        self._locals[stream] = Local(sock, port)
        self._errors[error] = (stream, port)

    def _read(self, stream: int, local: Local) -> None:
        try:
            data = local.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the client has broken off
            self._session.reset(stream, self._spdy.CANCEL)
            self._forget(stream)
            return
        local.input_ended = not data
        self._session.write(stream, data, is_last=local.input_ended)
        self._forget_if_over(stream, local)

    # --- from the Pod ---------------------------------------------------------------------------

    def _receive(self) -> None:
        for piece in self._websocket.receive():
            for event in self._session.feed(piece):
                self._take(event)
        if self._websocket.protocol and not self._has_begun:
            self._has_begun = True
            for listener, port in self._listeners.items():
                address, local_port = listener.getsockname()[:2]
                click.echo(f"Forwarding from {address}:{local_port} -> {port}")

    def _take(self, event: spdy.Event) -> None:
        stream = event.stream
        if isinstance(event, self._spdy.Data) and stream in self._errors:
            self._take_error(event)
            return
        local = self._locals.get(stream)
        if isinstance(event, self._spdy.Reset) and local:
            self._forget(stream)
        elif isinstance(event, self._spdy.Data):
            if local is None:
                self._session.consumed(stream, len(event.data))
                return
            local.untaken += event.data
            local.output_ends |= event.is_last
            self._write(stream, local)

    def _take_error(self, event: spdy.Data) -> None:
        stream, port = self._errors[event.stream]
        if event.data:
            words = event.data.decode(errors="replace")
            click.echo(f"an error occurred forwarding {port}: {words}", err=True)
            if stream in self._locals:
                self._forget(stream)
        if event.is_last:
            del self._errors[event.stream]

    def _write(self, stream: int, local: Local) -> None:
        try:
            while local.untaken:
                sent = local.sock.send(local.untaken)
                del local.untaken[:sent]
                self._session.consumed(stream, sent)
        except BlockingIOError:
            return
        except OSError:  # the client takes no more
            self._session.reset(stream, self._spdy.CANCEL)
            self._forget(stream)
            return
        if local.output_ends:
            with contextlib.suppress(OSError):
                local.sock.shutdown(socket.SHUT_WR)
        self._forget_if_over(stream, local)

    def _forget_if_over(self, stream: int, local: Local) -> None:
        if local.input_ended and local.output_ends and not local.untaken:
            self._forget(stream)

    def _forget(self, stream: int) -> None:
        self._locals.pop(stream).sock.close()
