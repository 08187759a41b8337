"""The other end of the API server's calls to a node."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path


class FakeKubelet(threading.Thread):
    """Says over TLS what it is told to say, and remembers what it was asked. It takes only the API
    server's own certificate."""

    def __init__(self, pki: Path) -> None:
        super().__init__(daemon=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.crt")
        context.load_cert_chain(pki / "kubelet-node-1.crt", pki / "kubelet-node-1.key")
        context.verify_mode = ssl.CERT_REQUIRED
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.answer = b""
        self.echoes = False
        self.asked = b""
        self.asker = ""
        self.resumed: list[bool] = []  # of each connection: is its session older?
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self._serve(sock)

    def _serve(self, sock: ssl.SSLSocket) -> None:
        subject = dict(part[0] for part in sock.getpeercert()["subject"])
        self.asker = subject["commonName"]
        self.resumed.append(bool(sock.session_reused))
        self.asked = sock.recv(65536)
        head, _, body = self.asked.partition(b"\r\n\r\n")
        while b"Content-Length: 11" in head and len(body) < 11:
            body += sock.recv(65536)
            self.asked = head + b"\r\n\r\n" + body
        sock.sendall(self.answer)
        while self.echoes and (data := sock.recv(65536)):
            sock.sendall(data.upper())

    def close(self) -> None:
        """Safe to call twice."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.join(5)
