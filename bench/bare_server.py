"""The floor for the API's rows: a TLS server that reads a request and answers fixed bytes.

    python -m bench.bare_server DATA_DIR BODY_BYTES [--durable]   → prints its port, until killed

One process and one selector, the cluster's own certificate, client certificates checked: what
remains of a request when nobody thinks about it. With --durable, what has come in together is
written and synced together before it is answered, as a database that keeps its word must. It also
shows that the load generator is not what limits.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import socket
import ssl
import tempfile
from pathlib import Path
from typing import IO

REQUEST_BYTES = 65_536  # a whole request comes in one piece


class BareServer:
    """`log` None keeps nothing."""

    def __init__(self, context: ssl.SSLContext, answer: bytes, log: IO[bytes] | None) -> None:
        self._context, self._answer, self._log = context, answer, log
        self._selector = selectors.DefaultSelector()

    def serve(self, listener: socket.socket) -> None:
        self._selector.register(listener, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in self._selector.select()]
            if listener in ready:
                self._accept(listener)
            peers = [peer for peer in ready if isinstance(peer, ssl.SSLSocket)]
            self._answer_all([peer for peer in peers if self._take(peer)])

    def _accept(self, listener: socket.socket) -> None:
        raw, _ = listener.accept()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._context.wrap_socket(raw, server_side=True)
        self._selector.register(peer, selectors.EVENT_READ)

    def _take(self, peer: ssl.SSLSocket) -> bool:
        with contextlib.suppress(OSError):
            if request := peer.recv(REQUEST_BYTES):
                if self._log is not None:
                    self._log.write(request)
                return True
        self._selector.unregister(peer)
        peer.close()
        return False

    def _answer_all(self, peers: list[ssl.SSLSocket]) -> None:
        if self._log is not None and peers:
            self._log.flush()
            os.fdatasync(self._log.fileno())
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.sendall(self._answer)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.bare_server")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("body_bytes", type=int)
    parser.add_argument("--durable", action="store_true")
    args = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki = args.data_dir / "pki"
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {args.body_bytes}\r\n\r\n".encode()
    with (
        tempfile.TemporaryFile(dir=args.data_dir) as log,  # on the database's own disk
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
    ):
        print(listener.getsockname()[1], flush=True)
        answer = head + b"x" * args.body_bytes
        BareServer(context, answer, log if args.durable else None).serve(listener)


if __name__ == "__main__":
    main()
