"""Room podium/client: what `kubectl describe` and `kubectl get events` show.

`event()` returns at once; one thread writes. The same event again raises the count of the first;
many that differ only in their message are combined after ten, and an object that floods is cut off,
as in Kubernetes. Events are told after the work they tell of: the longer a write took, the longer
is the pause before the next, so that a hundred Pods that start do not wait behind four hundred
notes about it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Protocol

from podium.api import meta
from podium.client import tracing
from podium.client.clock import Clock, SystemClock
from podium.client.errors import ApiError, ClientError, NotFound
from podium.client.http import Client

Object = dict[str, Any]

MAX_WAITING = 1000  # more are dropped, and counted
MAX_REMEMBERED = 1024  # 3 kB each; Kubernetes remembers 4096
COMBINE_AFTER, COMBINE_FOR_S = 10, 600.0
FLOOD_BURST, FLOOD_REFILL_PER_S = 25.0, 1 / 300  # per object
PAUSE, MAX_PAUSE_S = 3.0, 0.25  # before the next write, times as long as the last one took
TRIES, RETRY_S = 8, 0.5
STOP_TIMEOUT_S = 2.0

_log = logging.getLogger("events")


@dataclass(slots=True)
class Bucket:
    """Tokens that refill with time."""

    size: float
    per_s: float
    tokens: float
    at: float  # monotonic

    def take(self, now: float) -> bool:
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.per_s)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class Similar:
    """Events of one object that differ only in their message."""

    started: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Note:
    """One Event object: what was written of it (`name`, `count`) and what is to be."""

    event: Object
    name: str = ""  # "": not written yet
    is_waiting: bool = False
    tries: int = 0
    told_by: str = ""  # the trace headers of whoever told it last


class Recorder(Protocol):
    """What a controller is given."""

    def event(
        self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = ""
    ) -> None:
        """Note that something happened to an object."""
        ...


class ComponentRecorder:
    """An EventRecorder's voice for another component of the same process."""

    def __init__(self, recorder: EventRecorder, component: str) -> None:
        self._recorder, self._component = recorder, component

    def event(
        self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = ""
    ) -> None:
        self._recorder.note(
            obj, type_, reason, message, field_path=field_path, component=self._component
        )


class EventRecorder:
    """One per identity, with one thread. Thread-safe."""

    def __init__(
        self, client: Client, component: str, host: str = "", clock: Clock | None = None
    ) -> None:
        self.dropped = 0
        self._client = client
        self._component, self._host = component, host
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._waiting: OrderedDict[tuple[str, ...], Note] = OrderedDict()
        self._notes: OrderedDict[tuple[str, ...], Note] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], Similar] = OrderedDict()
        self._floods: OrderedDict[str, Bucket] = OrderedDict()
        self._next_at = 0.0  # monotonic: when the server may be asked again
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def event(
        self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = ""
    ) -> None:
        """Note that something happened to an object. `type_` is "Normal" or "Warning";
        `field_path` names a part of it: `spec.containers{web}`."""
        self.note(obj, type_, reason, message, field_path=field_path, component=self._component)

    def under(self, component: str) -> ComponentRecorder:
        """For another component of this process: "deployment-controller"."""
        return ComponentRecorder(self, component)

    def note(
        self,
        obj: Object,
        type_: str,
        reason: str,
        message: str,
        *,
        field_path: str,
        component: str,
    ) -> None:
        """`event`, in the name of a component."""
        now = self._clock.monotonic()
        with self._changed:
            if self._is_stopping:
                return
            uid = obj["metadata"].get("uid") or meta.key_of(obj)
            if not self._remembered(self._floods, uid, lambda: _flood_bucket(now)).take(now):
                self.dropped += 1
                return
            group = (component, uid, type_, reason, field_path)
            shown, last = self._combined(group, message, now)
            self._put((*group, last), obj, shown)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Write what waits, within two seconds, and end. Safe to repeat."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    # --- what to write --------------------------------------------------------------------------

    def _combined(self, group: tuple[str, ...], message: str, now: float) -> tuple[str, str]:
        """The message to show, and what tells this event from its like."""
        similar = self._remembered(self._similar, group, lambda: Similar(now))
        if now - similar.started > COMBINE_FOR_S:
            similar.started, similar.messages = now, set()
        if message in similar.messages:
            return message, message
        if len(similar.messages) < COMBINE_AFTER:
            similar.messages.add(message)
            return message, message
        return f"(combined from similar events): {message}", ""

    def _put(self, key: tuple[str, ...], obj: Object, message: str) -> None:
        now = self._clock.now()
        note = self._remembered(self._notes, key, lambda: Note(self._new_event(obj, key)))
        note.told_by = tracing.handed_on()
        event = note.event
        event["message"] = message
        event["count"] += 1
        event["lastTimestamp"] = meta.now(now)
        if note.is_waiting:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        note.is_waiting = True
        self._waiting[key] = note

    def _new_event(self, obj: Object, key: tuple[str, ...]) -> Object:
        component, _, type_, reason, path, _ = key
        about = obj["metadata"]
        namespace = about.get("namespace")
        involved = {
            "kind": obj.get("kind"),
            "namespace": namespace,
            "name": about["name"],
            "uid": about.get("uid"),
            "apiVersion": obj.get("apiVersion"),
            "resourceVersion": about.get("resourceVersion"),
            "fieldPath": path,
        }
        source = {"component": component, "host": self._host}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{about['name']}.{time.time_ns():x}",
                "namespace": namespace or "default",
            },
            "involvedObject": {name: value for name, value in involved.items() if value},
            "reason": reason,
            "source": {name: value for name, value in source.items() if value},
            "firstTimestamp": meta.now(self._clock.now()),
            "count": 0,
            "type": type_,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": self._host,
        }

    @staticmethod
    def _remembered(memory: OrderedDict[Any, Any], key: Any, make: Any) -> Any:
        """What is remembered under a key, made if need be; the longest unused is forgotten."""
        if key in memory:
            memory.move_to_end(key)
        else:
            memory[key] = make()
            if len(memory) > MAX_REMEMBERED:
                memory.popitem(last=False)
        return memory[key]

    # --- writing --------------------------------------------------------------------------------

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            key, note, event = taken
            began = time.monotonic()
            try:
                with tracing.on_behalf(note.told_by):
                    self._write(note, event)
                note.tries = 0
            except ApiError as error:
                # Refused: forbidden, or its namespace is being deleted. Asking again will not help.
                self.dropped += 1
                _log.debug("event %s dropped: %s", event["metadata"]["name"], error)
            except ClientError as error:
                self._try_again(key, note, error)
            ended = time.monotonic()
            self._next_at = ended + min(PAUSE * (ended - began), MAX_PAUSE_S)

    def _next(self) -> tuple[tuple[str, ...], Note, Object] | None:
        """The next note to write, as it is now; waits for one, and for its turn."""
        with self._changed:
            while not self._waiting:
                if self._is_stopping:
                    return None
                self._changed.wait()
            while not self._is_stopping and (left_s := self._next_at - time.monotonic()) > 0:
                self._changed.wait(left_s)
            key, note = self._waiting.popitem(last=False)
            note.is_waiting = False
            return key, note, dict(note.event)

    def _write(self, note: Note, event: Object) -> None:
        namespace = event["metadata"]["namespace"]
        if note.name:
            changed = {name: event[name] for name in ("count", "lastTimestamp", "message")}
            try:
                self._client.patch("events", note.name, namespace, changed)
                return
            except NotFound:
                # It has been cleaned away; tell it anew under another name.
                name = f"{event['involvedObject']['name']}.{time.time_ns():x}"
                event["metadata"] = {"name": name, "namespace": namespace}
        made = self._client.create("events", event, namespace)
        note.name = made["metadata"]["name"]

    def _try_again(self, key: tuple[str, ...], note: Note, error: ClientError) -> None:
        with self._changed:
            note.tries += 1
            if self._is_stopping or note.tries >= TRIES:
                self.dropped += 1
                _log.warning("event %s dropped: %s", note.event["metadata"]["name"], error)
                return
            if not note.is_waiting:
                note.is_waiting = True
                self._waiting[key] = note
                self._waiting.move_to_end(key, last=False)
            self._changed.wait(RETRY_S)


def _flood_bucket(now: float) -> Bucket:
    return Bucket(FLOOD_BURST, FLOOD_REFILL_PER_S, FLOOD_BURST, now)
