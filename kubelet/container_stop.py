"""Ending containers that run: event, preStop hook, their turn, stop signal, SIGKILL.

Room kubelet; called by pod_sync.py and pod_end.py in their worker threads, which never wait: each
container that is being ended has a thread of its own here, which has its Pod looked at again when
the container has ended. All of it may be cut short at any point and begun again.
Source: kubelet `killContainer` in `pkg/kubelet/kuberuntime/kuberuntime_container.go`, KEP-753
"Sidecar containers" for the order.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubelet.debugging import hold_stop
from kubelet.hooks import HookFailed, Hooks
from kubelet.pod_plan import is_sidecar
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Runtime
from podium.client.event_recorder import Recorder

log = logging.getLogger("container-stop")
Object = dict[str, Any]

MIN_GRACE_S = 2.0  # nobody is killed without that much warning, whatever a hook has taken
SHORTER_BY_S = 0.5  # a new grace period counts if it ends so much sooner
STOP_RETRY_S = 1.0


@dataclass(frozen=True)
class Ending:
    """One container to end. `pod` and `spec` are None when the Pod is not known any more: then
    nobody is told, and no hook is run."""

    container: ContainerStatus
    grace_s: float
    pod: Object | None = None
    spec: Object | None = None
    field_path: str = ""
    ip: str = ""
    message: str = ""  # of the event; "" is "Stopping container …"
    after: Sequence[str] = ()  # ids of those that have to end first

    def known_by(self, pod: Object | None, spec: tuple[str, Object] | None, ip: str) -> Ending:
        """`spec` is the container's (field path, spec), None if the Pod has none of that name."""
        if pod is None or spec is None:
            return self
        return replace(self, pod=pod, field_path=spec[0], spec=spec[1], ip=ip)


@dataclass
class _Stop:
    until: float  # monotonic
    has_ended: threading.Event = field(default_factory=threading.Event)


class ContainerStops:
    """`requeue(uid)` has the Pod looked at again."""

    def __init__(
        self, runtime: Runtime, recorder: Recorder, hooks: Hooks, requeue: Callable[[str], None]
    ) -> None:
        self._runtime, self._recorder, self._hooks = runtime, recorder, hooks
        self._requeue = requeue
        self._lock = threading.Lock()
        self._stops: dict[str, _Stop] = {}  # by container id

    def begin(self, endings: Sequence[Ending]) -> None:
        """Those that are being ended already are left alone, unless they are now to be ended
        sooner; their hook has had its chance then."""
        for ending in endings:
            if not self.is_ending(ending.container.id):
                hold_stop(ending.container.name, ending.grace_s)
        now = time.monotonic()
        new, sooner = list[Ending](), list[Ending]()
        with self._lock:
            for ending in endings:
                until, known = now + ending.grace_s, self._stops.get(ending.container.id)
                if known is None:
                    self._stops[ending.container.id] = _Stop(until)
                    new.append(ending)
                elif until < known.until - SHORTER_BY_S:
                    known.until = until
                    sooner.append(ending)
        for ending in new:
            self._tell(ending)
            self._in_thread(ending, lambda e=ending: self._end(e))
        for ending in sooner:
            self._in_thread(ending, lambda e=ending: self._stop(e, e.grace_s))

    def is_ending(self, container_id: str) -> bool:
        return container_id in self._stops

    def _tell(self, ending: Ending) -> None:
        if ending.pod is None:
            return
        message = ending.message or f"Stopping container {ending.container.name}"
        self._recorder.event(ending.pod, "Normal", "Killing", message, field_path=ending.field_path)

    def _in_thread(self, ending: Ending, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"stop-{ending.container.name}", daemon=True).start()

    def _end(self, ending: Ending) -> None:
        """The whole of it: hook, turn, stop. If it lives still, the next look begins again."""
        stop = self._stops[ending.container.id]
        try:
            self._run_hook(ending, stop)
            for other in ending.after:
                if before := self._stops.get(other):
                    before.has_ended.wait(max(stop.until - time.monotonic(), 0))
            self._stop(ending, stop.until - time.monotonic())
        finally:
            with self._lock:
                self._stops.pop(ending.container.id, None)
            stop.has_ended.set()
            self._requeue(ending.container.sandbox_id)

    def _run_hook(self, ending: Ending, stop: _Stop) -> None:
        hook = ((ending.spec or {}).get("lifecycle") or {}).get("preStop")
        left_s = stop.until - time.monotonic()
        if not hook or left_s <= 0 or ending.container.state != "running":
            return
        assert ending.pod is not None
        assert ending.spec is not None
        try:
            self._hooks.run(hook, ending.spec, ending.container.id, ending.ip, left_s)
        except TimeoutError:
            log.info("%s: preStop has not ended in time", ending.container.name)
        except HookFailed as failure:
            log.info("%s: preStop failed: %s", ending.container.name, failure)
            self._recorder.event(
                ending.pod, "Warning", "FailedPreStopHook", "PreStopHook failed",
                field_path=ending.field_path,
            )  # fmt: skip

    def _stop(self, ending: Ending, left_s: float) -> None:
        try:
            self._runtime.stop_container(ending.container.id, max(left_s, MIN_GRACE_S))
        except RuntimeFailure as failure:
            name = f"{ending.container.sandbox_id}: stopping {ending.container.name}"
            log.warning("%s failed: %s", name, failure)
            time.sleep(STOP_RETRY_S)


def order(pod: Object, living: Sequence[ContainerStatus]) -> Mapping[str, Sequence[str]]:
    """Whom each living container waits for, by id: a sidecar for everything that started after it,
    the others for nobody."""
    ids = {status.name: status.id for status in living}
    before = [ids[c["name"]] for c in pod["spec"]["containers"] if c["name"] in ids]
    waits: dict[str, Sequence[str]] = {}
    for container in reversed(pod["spec"].get("initContainers") or ()):
        if is_sidecar(container) and container["name"] in ids:
            waits[ids[container["name"]]] = tuple(before)
            before.append(ids[container["name"]])
    return waits
