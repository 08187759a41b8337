"""When each probe is tried, and who hears of its answers.

Room kubelet; made by agent.py, told by pod_sync.py at every look what runs. One thread with an
event loop asks them all, a coroutine for each probed container: the timers are the loop's, sockets
cost no thread, and a probe that hangs keeps nobody waiting but itself. Only commands wait in a
thread, of a pool that grows to EXEC_THREADS. A result that changes wakes the Pod's next look.
Nothing here is written down: after a restart of the kubelet what the status says is believed until
a probe says something else.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelet.probes.plan import (
    Answer,
    Kind,
    Probe,
    Target,
    Verdict,
    adopt,
    due,
    probes_of,
    titled,
    verdict,
)
from kubelet.runtime.protocol import ContainerStatus, Runtime
from podium.client.event_recorder import Recorder

if TYPE_CHECKING:  # they cost a few megabytes, which a node without probes need not have
    import asyncio

    from kubelet.probes.handlers import Handlers

log = logging.getLogger("prober")
Object = dict[str, Any]

EXEC_THREADS = 32
TRIES = 3  # of a probe that could not be made at all


Answered = Callable[[Object, str, Kind, Answer], None]


class Prober:
    """`wake(uid)` has a Pod looked at again; `answered(pod, container, kind, answer)` counts."""

    def __init__(
        self, runtime: Runtime, recorder: Recorder, wake: Callable[[str], None], answered: Answered
    ) -> None:
        self._runtime, self._recorder, self._wake = runtime, recorder, wake
        self._answered = answered
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}  # by container id
        self._of_pod: dict[str, set[str]] = {}
        self._engine: _Engine | None = None

    def follow(
        self,
        pod: Object,
        specs: Mapping[str, tuple[str, Object]],
        running: Sequence[ContainerStatus],
        ip: str,
        written: Mapping[str, Object],
    ) -> dict[str, Verdict]:
        """Probe `running` of this Pod, and nothing else of it any more; gives what is said of those
        that have probes, by container id. `specs` is (field path, container) and `written` the last
        status, by container name. Safe to repeat: nothing happens then."""
        uid = pod["metadata"]["uid"]
        is_ending = bool(pod["metadata"].get("deletionTimestamp"))
        found: dict[str, Verdict] = {}
        with self._lock:
            for gone in self._of_pod.pop(uid, set()) - {status.id for status in running}:
                self._watched.pop(gone).stop()
            for status in running:
                field_path, container = specs[status.name]
                if not (probes := probes_of(container)):
                    continue
                if status.id not in self._watched and ip:
                    target = Target(status.id, container, ip)
                    start = _Start(status.started_at, written.get(status.name) or {})
                    self._watch(pod, field_path, target, start)
                if watched := self._watched.get(status.id):
                    self._of_pod.setdefault(uid, set()).add(status.id)
                    watched.set_ending(is_ending)
                    probes = watched.probes
                found[status.id] = verdict(probes)
        return found

    def _watch(self, pod: Object, field_path: str, target: Target, start: _Start) -> None:
        if self._engine is None:
            self._engine = _Engine(self._runtime)
        watched = _Watched(
            self._engine, target, start,
            tell=lambda kind, answer: self._tell(pod, field_path, kind, answer),
            changed=lambda: self._wake(pod["metadata"]["uid"]),
            answered=lambda kind, answer: self._answered(
                pod, target.container["name"], kind, answer
            ),
        )  # fmt: skip
        self._watched[target.id] = watched
        watched.start()

    def forget(self, uid: str) -> None:
        """The Pod is over, or gone. Safe to repeat."""
        with self._lock:
            for gone in self._of_pod.pop(uid, ()):
                self._watched.pop(gone).stop()

    def close(self) -> None:
        with self._lock:
            self._watched, self._of_pod = {}, {}
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _tell(self, pod: Object, field_path: str, kind: Kind, answer: Answer) -> None:
        reason, words = {
            "failure": ("Unhealthy", f"probe failed: {answer.message}"),
            "warning": ("ProbeWarning", f"probe warning: {answer.message}"),
            "unknown": (
                "Unhealthy",
                f"probe errored and resulted in unknown state: {answer.message}",
            ),
        }[answer.result]
        message = f"{titled(kind)} {words}"
        self._recorder.event(pod, "Warning", reason, message, field_path=field_path)


@dataclass(frozen=True)
class _Start:
    """When a container began to run (seconds since the epoch), and its last status."""

    at: float
    written: Object


class _Engine:
    """The event loop, its thread, and the threads for commands."""

    def __init__(self, runtime: Runtime) -> None:
        import asyncio

        from kubelet.probes.handlers import Handlers

        self._pool = ThreadPoolExecutor(EXEC_THREADS, thread_name_prefix="exec-probe")
        self.handlers: Handlers = Handlers(runtime, self._pool)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(_cancel_others())
            self.loop.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _cancel_others() -> None:
    import asyncio

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Watched:
    """One container that runs. Its coroutines live in the engine's thread; the rest is called by
    the Pod's worker, under the Prober's lock."""

    def __init__(
        self, engine: _Engine, target: Target, start: _Start, *,
        tell: Callable[[Kind, Answer], None], changed: Callable[[], None],
        answered: Callable[[Kind, Answer], None],
    ) -> None:  # fmt: skip
        self.probes = probes_of(target.container)
        self._engine, self._target, self._start = engine, target, start
        self._is_adopted = str(start.written.get("containerID", "")).endswith(target.id)
        if self._is_adopted:
            adopt(self.probes, start.written)
        self._is_ending = False
        self._tell, self._changed, self._answered = tell, changed, answered
        self._tasks: dict[Kind, asyncio.Task[None]] = {}

    def start(self) -> None:
        self._engine.loop.call_soon_threadsafe(self._schedule)

    def stop(self) -> None:
        self._engine.loop.call_soon_threadsafe(self._cancel)

    def set_ending(self, is_ending: bool) -> None:
        if is_ending != self._is_ending:
            self._is_ending = is_ending
            self._engine.loop.call_soon_threadsafe(self._schedule)

    # ---- in the engine's thread ----

    def _schedule(self) -> None:
        """A coroutine for each probe that is due, and for no other."""
        wanted = {probe.kind: probe for probe in due(self.probes, is_ending=self._is_ending)}
        for kind in [kind for kind in self._tasks if kind not in wanted]:
            self._tasks.pop(kind).cancel()
        for kind, probe in wanted.items():
            if kind not in self._tasks:
                self._tasks[kind] = self._engine.loop.create_task(self._ask_on(probe))

    def _cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _ask_on(self, probe: Probe) -> None:
        """Period after period, until what it has to say has been said."""
        import asyncio

        await asyncio.sleep(self._first_after_s(probe))
        while True:
            began = self._engine.loop.time()
            answer = await self._ask(probe)
            self._answered(probe.kind, answer)
            if answer.result != "success":
                self._tell(probe.kind, answer)
            if probe.tally.count(answer):
                self._changed()
                if probe not in due(self.probes, is_ending=self._is_ending):
                    del self._tasks[probe.kind]
                    self._schedule()
                    return
            rest_s = began + probe.period_s - self._engine.loop.time()
            await asyncio.sleep(max(rest_s, 0))

    async def _ask(self, probe: Probe) -> Answer:
        for _ in range(TRIES):
            answer = await self._engine.handlers.ask(self._target, probe.spec, probe.timeout_s)
            if answer.result != "unknown":
                break
        return answer

    def _first_after_s(self, probe: Probe) -> float:
        """A kubelet that was restarted asks what it finds at random moments, not all at once."""
        age_s = time.time() - self._start.at
        if self._is_adopted:
            return random.random() * probe.period_s
        return max(probe.first_after_s() - max(age_s, 0), 0)
