"""exec under containerd: a process of its task service, its streams carried through FIFOs.

Called by runtime.py in the kubelet. The caller's descriptors are duplicated and served by a thread
that lives as long as the process; another waits for its end.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import selectors
import shutil
import threading
import time
from typing import Any

from kubelet.containerd.connection import Connection, NotThere
from kubelet.containerd.messages import CONTAINERD, message
from kubelet.containerd.translate import start_failure
from kubelet.runtime.errors import RuntimeFailure

PIECE_BYTES = 32 << 10
DRAIN_S = 2.0  # a child in the background may hold the output open
_PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_KILL = 9
OPEN_TIMEOUT_S = 10.0
_RETRY_S = 0.005
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC


class ContainerdExec:
    """The Protocol is `ExecSession`. `directory` is the session's own and removed at its end."""

    def __init__(
        self, connection: Connection, container_id: str, argv: list[str], directory: str,
        fds: dict[str, int], *, tty: bool,
    ) -> None:  # fmt: skip
        """Raises CommandNotFound, CommandNotExecutable or RuntimeFailure."""
        self._connection, self._directory, self._tty = connection, directory, tty
        self._ids = {"container_id": container_id, "exec_id": os.path.basename(directory)}
        self._exit_code: int | None = None
        self._ended = threading.Event()
        os.makedirs(directory, mode=0o700)
        streams = ("stdin", "stdout") if tty else ("stdin", "stdout", "stderr")
        given = {**fds, "stdout": fds["stdin"]} if tty and "stdin" in fds else fds
        wanted = [name for name in streams if name in given]
        self._theirs = {name: os.dup(given[name]) for name in wanted}
        self._fifos: dict[str, int] = {}
        for name in wanted:
            os.mkfifo(f"{directory}/{name}", 0o600)
            if name != "stdin":  # that one cannot be opened before the other end
                self._fifos[name] = os.open(f"{directory}/{name}", _READ)
        try:
            self.pid = self._start(argv)
        except BaseException:
            self._close()
            raise
        threading.Thread(target=self._serve, name="containerd-exec", daemon=True).start()

    def _start(self, argv: list[str]) -> int:
        container_id = self._ids["container_id"]
        process = json.loads(self._connection.container_spec(container_id))["process"]
        process |= {"args": argv, "terminal": self._tty}
        paths = {name: f"{self._directory}/{name}" for name in self._theirs}
        spec = {"type_url": _PROCESS, "value": json.dumps(process).encode()}
        self._ask("Exec", "ExecProcessRequest", terminal=self._tty, spec=spec, **paths)
        try:
            return int(self._ask("Start", "StartRequest", "StartResponse").pid)
        except RuntimeFailure as failure:
            self._forget()
            raise start_failure(str(failure)) from None

    def _ask(self, call: str, question: str, answer: str = "Empty", **fields: Any) -> Any:
        words = message(CONTAINERD, question)(**self._ids, **fields)
        return self._connection.task(call, words, answer)

    # ---- while it runs ----

    def _serve(self) -> None:
        waiter = threading.Thread(target=self._await_end, name="containerd-wait", daemon=True)
        waiter.start()
        if "stdin" in self._theirs:
            threading.Thread(target=self._feed, name="containerd-stdin", daemon=True).start()
        with selectors.DefaultSelector() as selector:
            for name, fifo in self._fifos.items():
                selector.register(fifo, selectors.EVENT_READ, name)
            deadline = float("inf")
            while selector.get_map() and time.monotonic() < deadline:
                for key, _ in selector.select(0.2):
                    self._carry(selector, key.fd, key.data)
                if self._exit_code is not None and deadline == float("inf"):
                    deadline = time.monotonic() + DRAIN_S
        waiter.join()
        self._forget()
        self._close()
        self._ended.set()

    def _carry(self, selector: selectors.BaseSelector, fifo: int, name: str) -> None:
        try:
            if data := os.read(fifo, PIECE_BYTES):
                _write_all(self._theirs[name], data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # whoever wanted to read it has gone: as good as an end
        selector.unregister(fifo)

    def _feed(self) -> None:
        """stdin, until its end or the process's."""
        try:
            fifo = self._open_stdin()
        except TimeoutError:
            return
        with contextlib.suppress(OSError), open(fifo, "wb", buffering=0) as pipe:
            while data := self._read_stdin():
                _write_all(pipe.fileno(), data)
        with contextlib.suppress(RuntimeFailure):  # it has ended meanwhile
            self._ask("CloseIO", "CloseIORequest", stdin=True)

    def _open_stdin(self) -> int:
        """Once the other end is open, for what is written before is lost."""
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while True:
            try:
                return os.open(f"{self._directory}/stdin", _WRITE)
            except OSError as error:  # ENXIO: nobody reads yet; ENOENT: it has ended already
                if error.errno != errno.ENXIO or time.monotonic() > deadline:
                    raise TimeoutError from None
            time.sleep(_RETRY_S)

    def _read_stdin(self) -> bytes:
        """b"" at its end, or when the process has ended."""
        source = self._theirs["stdin"]
        while not self._ended.is_set():
            if select.select([source], [], [], 0.2)[0]:
                return os.read(source, PIECE_BYTES)
        return b""

    def _await_end(self) -> None:
        words = message(CONTAINERD, "WaitRequest")(**self._ids)
        try:
            found = self._connection.task("Wait", words, "WaitResponse", timeout_s=0)
            self._exit_code = int(found.exit_status)
        except RuntimeFailure:
            self._exit_code = 128 + _KILL  # containerd has gone, or the container with it

    # ---- the Protocol ----

    def wait(self, timeout_s: float | None = None) -> int:
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s")
        assert self._exit_code is not None
        return self._exit_code

    def resize(self, width: int, height: int) -> None:
        if self._tty and not self._ended.is_set():
            self._ask("ResizePty", "ResizePtyRequest", width=width, height=height)

    def kill(self) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(NotThere):
                self._ask("Kill", "KillRequest", signal=_KILL)

    # ---- the end ----

    def _forget(self) -> None:
        with contextlib.suppress(RuntimeFailure):
            self._ask("DeleteProcess", "DeleteProcessRequest", "DeleteResponse")

    def _close(self) -> None:
        for fd in (*self._theirs.values(), *self._fifos.values()):
            os.close(fd)
        shutil.rmtree(self._directory, ignore_errors=True)


def _write_all(fd: int, data: bytes) -> None:
    """Also into what is not ready: whoever reads slowly slows its own process only."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(fd, selectors.EVENT_WRITE)
                selector.select()
