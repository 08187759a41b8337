"""One client's share of a running container's streams. Runs in the shim, which imports it only when
somebody attaches.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from kubelet.runtime.event_loop import WRITABLE, EventLoop

_CHUNK_BYTES = 65_536
OVER, TOO_SLOW = 0, 1  # how an attachment ends


class Attachment:
    """Owns `fds` ("stdin", "stdout", "stderr"; pipes) until it is over, which `on_over(code)` tells
    once. `stdin_target` is the container's, -1 for none. With `on_stdin_end` it is the container's
    stdin that the end of ours ends, else it is this attachment."""

    def __init__(
        self,
        loop: EventLoop,
        fds: dict[str, int],
        *,
        stdin_target: int,
        on_stdin_end: Callable[[], None] | None,
        on_over: Callable[[Attachment, int], None],
    ) -> None:
        self._loop = loop
        self._on_stdin_end, self._on_over = on_stdin_end, on_over
        self._source = fds.pop("stdin", -1)
        self._target = -1
        self._pending = b""  # what the container has not taken yet
        self._outputs = fds
        self._is_over = False
        for fd in fds.values():
            os.set_blocking(fd, False)
        if stdin_target < 0:
            self.drop_stdin()
        elif self._source >= 0:
            self._target = os.dup(stdin_target)  # watched apart from everybody else's
            os.set_blocking(self._target, False)
            loop.watch(self._source, self._on_source)

    # From the container

    def output(self, stream: str, data: bytes) -> None:
        """Hand it on, or give this client up: the container waits for nobody."""
        fd = self._outputs.get(stream)
        if fd is None:
            return
        try:
            if os.write(fd, data) < len(data):
                self.end(TOO_SLOW)
        except BlockingIOError:
            self.end(TOO_SLOW)
        except OSError:  # nobody reads any more
            self.end()

    # To the container

    def _on_source(self) -> None:
        self._pending = os.read(self._source, _CHUNK_BYTES)
        if self._pending:
            self._write()
        else:
            self._end_stdin()

    def _write(self) -> None:
        """Nothing more is read before the container has taken what was."""
        try:
            self._pending = self._pending[os.write(self._target, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:  # the container has closed its stdin
            self.drop_stdin()
            return
        if self._pending:
            self._loop.unwatch(self._source)
            self._loop.watch(self._target, self._write, WRITABLE)
        else:
            self._loop.unwatch(self._target)
            self._loop.watch(self._source, self._on_source)

    def _end_stdin(self) -> None:
        self.drop_stdin()
        if self._on_stdin_end:
            self._on_stdin_end()
        else:
            self.end()

    def drop_stdin(self) -> None:
        """Take no more of it; safe to repeat."""
        for fd in (self._source, self._target):
            if fd >= 0:
                self._loop.unwatch(fd)
                os.close(fd)
        self._source = self._target = -1

    # The end

    def end(self, code: int = OVER) -> None:
        """Safe to repeat. A client that goes has ended its stdin."""
        if self._is_over:
            return
        self._is_over = True
        had_stdin = self._target >= 0
        self.drop_stdin()
        for fd in self._outputs.values():
            os.close(fd)
        self._outputs = {}
        if had_stdin and self._on_stdin_end:
            self._on_stdin_end()
        self._on_over(self, code)
