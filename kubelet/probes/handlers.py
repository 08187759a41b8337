"""One try of a probe: exec, httpGet, tcpSocket or grpc, and the words for what went wrong.

Room kubelet; called by prober.py in its event loop. Only exec needs a thread, from a small pool:
the engine's call waits. Source: kubelet `pkg/probe`, `pkg/kubelet/prober/prober.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubelet.environment import expand
from kubelet.probes import grpc_probe, http_probe
from kubelet.probes.plan import Answer, NoSuchPort, Target, port_number
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Runtime

Object = dict[str, Any]

MAX_OUTPUT_BYTES = 10 * 1024
READ_BYTES = 64 * 1024


class Handlers:
    def __init__(self, runtime: Runtime, pool: ThreadPoolExecutor) -> None:
        self._runtime, self._pool = runtime, pool

    async def ask(self, target: Target, probe: Object, timeout_s: float) -> Answer:
        try:
            return await self._ask(target, probe, timeout_s)
        except (NoSuchPort, RuntimeFailure) as failure:
            return Answer("unknown", str(failure))

    async def _ask(self, target: Target, probe: Object, timeout_s: float) -> Answer:
        if action := probe.get("exec"):
            argv = static_command(action.get("command") or [], target.container)
            return await self._exec(target.id, argv, timeout_s)
        if get := probe.get("httpGet"):
            request = http_probe.request_of(get, target.container, target.ip)
            return await http_probe.probe(request, timeout_s)
        if socket := probe.get("tcpSocket"):
            port = port_number(socket["port"], target.container)
            return await _connect(socket.get("host") or target.ip, port, timeout_s)
        if grpc := probe.get("grpc"):
            service = grpc.get("service") or ""
            return await grpc_probe.probe(target.ip, int(grpc["port"]), service, timeout_s)
        raise NoSuchPort("missing probe handler")

    async def _exec(self, container_id: str, argv: list[str], timeout_s: float) -> Answer:
        """Its output (both streams, the first 10 KiB) is the message of a failure."""
        with _Output(asyncio.get_running_loop()) as output:
            future = self._pool.submit(
                run_command, self._runtime, container_id, argv, output.writer, timeout_s
            )
            future.add_done_callback(lambda _: os.close(output.writer))
            try:
                code = await asyncio.wrap_future(future)
            except TimeoutError:
                said = f'command timed out: "{" ".join(argv)}" timed out after {timeout_s:g}s'
                return Answer("failure", said)
            return Answer("failure" if code else "success", output.text())


def static_command(command: list[str], container: Object) -> list[str]:
    """With the variables that the container's spec gives a value itself."""
    env = {v["name"]: v.get("value") or "" for v in container.get("env") or ()}
    return [expand(word, env) for word in command]


def run_command(
    runtime: Runtime, container_id: str, argv: list[str], output_fd: int, timeout_s: float
) -> int:
    """Its exit code; in a thread, for it waits. TimeoutError when it had to be killed, with all
    that it had started; RuntimeFailure when it could not be started."""
    deadline = time.monotonic() + timeout_s
    session = runtime.exec(container_id, argv, stdout_fd=output_fd, stderr_fd=output_fd)
    try:
        return session.wait(max(deadline - time.monotonic(), 0))
    except TimeoutError:
        session.kill()
        raise


class _Output:
    """A pipe that is read as it fills, so that nobody who writes into it has to wait. The end to
    write to is the caller's to close."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept = bytearray()

    def __enter__(self) -> _Output:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop.add_reader(self._reader, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def text(self) -> str:
        """What was written so far."""
        self._read()
        return bytes(self._kept).decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, READ_BYTES):
                self._kept += data[: MAX_OUTPUT_BYTES - len(self._kept)]
            self._loop.remove_reader(self._reader)  # every writer has closed


async def _connect(host: str, port: int, timeout_s: float) -> Answer:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer("failure", f"dial tcp {host}:{port}: i/o timeout")
    except OSError as failure:
        return Answer("failure", http_probe.dial_error(host, port, failure))
    await http_probe.hang_up(writer)
    return Answer("success")
