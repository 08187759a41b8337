"""Room podium/client: stops reconciles at Breakpoints. One for a process with loops.

A loop's reconcile runs as ever, but each write of it comes by here first (debug_hook.py). If a
breakpoint selects the key and its condition holds, the reconcile waits before that write, in its
own thread, and another thread takes its place in the loop: other keys and other loops go on. What
it is about to do is written into the Breakpoint's status, what is to be done about it is read from
the Breakpoint's `spec.action`; so all of it goes over the API, as everything does.

Nothing waits for ever: a stop ends after `spec.maxStopSeconds`, when its breakpoint is deleted,
disabled or selects the key no more, when the API server has been away for some seconds, and when
the process ends.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from podium.api import debugging, meta, scheme
from podium.api.expression import Expression, ExpressionError
from podium.api.selectors import EVERYTHING, LabelSelector, SelectorError, from_dict
from podium.api.trace_context import now_us
from podium.client import debug_hook, tracing
from podium.client.clock import Clock, SystemClock
from podium.client.debug_hook import Interrupted, Picture, Planned, Step
from podium.client.debug_writes import changes, outcome_of, without_secrets
from podium.client.errors import ClientError, NotFound
from podium.client.http import Client
from podium.client.informer import Informer, InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

MOST_STOPS = 16  # of a process at a time; further keys wait in their queue
HELD_BACK_S = 0.5  # how long a key that is one too many waits in its queue, again and again
AWAY_S = 5.0  # without the API server nobody could end a stop
LOOK_S = 1.0  # how often a stop looks whether it should end by itself
CHANGES_SHOWN, PLANNED_SHOWN, DONE_SHOWN = 50, 20, 20
MOST_BYTES = 16 * 1024  # of an object, of a body: longer ones are cut
CHANGE_BYTES = 2 * 1024  # of a field that changes
LIST_SHOWN = 20

# These loops do not read their keys' objects from a cache.
NEVER_STALE = frozenset({"garbage-collector", "scheduler", "namespace"})

_log = logging.getLogger("debugger")


@dataclass(frozen=True, slots=True)
class Command:
    """What to do about a stop. `reason` is of a release that nobody has asked for."""

    type: str
    inject: str = ""
    id: str = ""
    reason: str = ""


@dataclass(slots=True)
class Stop:
    """A reconcile that waits. `shown` is what the status says of it."""

    key: str
    names: frozenset[str]  # by which an action may call it
    shown: Object
    until: float  # monotonic
    command: Command | None = None


@dataclass(slots=True)
class Breakpoint:
    """One breakpoint, with what has happened at it. Guarded by the debugger's lock."""

    name: str
    controller: str
    kind: str = ""
    namespace: str = ""
    object_name: str = ""
    labels: LabelSelector = EVERYTHING
    condition: Expression | None = None
    is_once: bool = False
    is_disabled: bool = False
    skip_hits: int = 0
    longest_s: int = debugging.DEFAULT_STOP_S
    hits: int = 0
    skipped: int = 0
    stops: list[Stop] = field(default_factory=list)
    taken: str = ""  # the id of the last action that stops were told of
    last_action: Object | None = None
    last_release: Object | None = None

    @classmethod
    def of(cls, obj: Object, before: Breakpoint | None) -> Breakpoint:
        """From the object; what has happened is kept from `before`, else from its status."""
        spec, status = obj["spec"], obj.get("status") or {}
        selector = spec.get("selector") or {}
        found = cls(
            name=obj["metadata"]["name"],
            controller=spec["controller"],
            kind=selector.get("kind") or "",
            namespace=selector.get("namespace") or "",
            object_name=selector.get("name") or "",
            labels=_labels(selector.get("labelSelector")),
            condition=_condition(spec.get("condition")),
            is_once=bool(spec.get("once")),
            is_disabled=bool(spec.get("disabled")),
            skip_hits=spec.get("skipHits") or 0,
            longest_s=spec.get("maxStopSeconds") or debugging.DEFAULT_STOP_S,
            hits=status.get("hits") or 0,
            skipped=status.get("skipped") or 0,
            last_action=status.get("lastAction"),
            last_release=status.get("lastRelease"),
        )
        if before is not None:
            for name in ("hits", "skipped", "stops", "taken", "last_action", "last_release"):
                setattr(found, name, getattr(before, name))
        return found

    @property
    def is_spent(self) -> bool:
        return self.is_once and self.hits > 0

    @property
    def may_stop(self) -> bool:
        return not self.is_disabled and not self.is_spent

    @property
    def phase(self) -> str:
        if self.stops:
            return "Stopped"
        return "Disabled" if self.is_disabled else "Spent" if self.is_spent else "Armed"

    def selects(self, subject: Object | None) -> bool:
        """Whether it is about this object; one that is not there is selected by none but an empty
        selector."""
        if subject is None:
            return not (self.kind or self.namespace or self.object_name or self.labels)
        about = subject["metadata"]
        return (
            self.kind in ("", subject.get("kind"))
            and self.namespace in ("", about.get("namespace"))
            and self.object_name in ("", about["name"])
            and (not self.labels or self.labels.matches(about.get("labels") or {}))
        )

    def status(self) -> Object:
        found: Object = {
            "phase": self.phase,
            "hits": self.hits,
            "skipped": self.skipped,
            "stopped": [stop.shown for stop in self.stops],
        }
        for name, value in (("lastAction", self.last_action), ("lastRelease", self.last_release)):
            if value is not None:
                found[name] = value
        return found


class Debugger:
    """`loops` are the loops of this process by name, with what breakpoints call them. `where`
    selects the breakpoints that concern it."""

    def __init__(
        self,
        client: Client,
        loops: Mapping[str, str],
        informers: InformerFactory,
        *,
        where: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client, self._informers = client, informers
        self._controllers = dict(loops)
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()  # guards all below
        self._breakpoints: dict[str, Breakpoint] = {}
        self._armed: dict[str, tuple[str, ...]] = {}  # loop → breakpoints, by name
        self._stale: dict[tuple[str, str], tuple[str, tuple[str, str], Object]] = {}
        self._is_closed = False
        self._publisher = ReconcileLoop("debugger", self._publish)
        self._informer: Informer = informers.informer(debugging.BREAKPOINTS, where)
        self._informer.add_handler(self._heard, lambda _, new: self._heard(new), self._gone)

    def start(self) -> None:
        """From now on reconciles of this process can be stopped."""
        self._publisher.start()
        debug_hook.install(self)

    def stop(self) -> None:
        """Let everything go on. Safe to repeat."""
        debug_hook.install(None)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._publisher.stop()

    # --- breakpoints, as they come and go -------------------------------------------------------

    def _heard(self, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if obj["spec"]["controller"] not in self._controllers.values():
            return
        with self._changed:
            before = self._breakpoints.get(name)
            point = self._breakpoints[name] = Breakpoint.of(obj, before)
            self._arm()
            action = obj["spec"].get("action")
            if action and action["id"] not in (point.taken, (point.last_action or {}).get("id")):
                point.taken = action["id"]
                self._command(point, action)
            self._changed.notify_all()
        if obj.get("status") != point.status():
            self._publisher.add(name)  # it is new, or of an earlier life

    def _gone(self, obj: Object) -> None:
        with self._changed:
            self._breakpoints.pop(obj["metadata"]["name"], None)
            self._arm()
            self._changed.notify_all()

    def _arm(self) -> None:
        armed: dict[str, list[str]] = {}
        for loop, controller in self._controllers.items():
            for point in self._breakpoints.values():
                if point.controller == controller and point.may_stop:
                    armed.setdefault(loop, []).append(point.name)
        for loop, _ in self._stale:
            armed.setdefault(loop, [])
        self._armed = {loop: tuple(sorted(names)) for loop, names in armed.items()}

    def _command(self, point: Breakpoint, action: Object) -> None:
        """Hand an action to the stops that it means, or say that there are none."""
        wanted = action.get("key") or ""
        command = Command(action["type"], action.get("inject") or "", action.get("id") or "")
        meant = [stop for stop in point.stops if not wanted or wanted in stop.names]
        for stop in meant:
            stop.command = command
        if not meant:
            what = f"at {wanted}" if wanted else "at this breakpoint"
            self._note_action(point, command, wanted, "NotStopped", f"nothing is stopped {what}")

    def _note_action(
        self, point: Breakpoint, command: Command, key: str, result: str, message: str = ""
    ) -> None:
        noted = {"id": command.id, "type": command.type, "inject": command.inject, "key": key,
                 "time": meta.now_micro(), "result": result, "message": message}  # fmt: skip
        point.last_action = {name: value for name, value in noted.items() if value}
        self._publisher.add(point.name)

    def _publish(self, name: str) -> None:
        """Write a breakpoint's status."""
        with self._changed:
            point = self._breakpoints.get(name)
            if point is None:
                return
            status = point.status()
        patch = [{"op": "add", "path": "/status", "value": status}]
        try:
            self._client.patch(
                debugging.BREAKPOINTS, name, None, patch, patch_type="json", subresource="status"
            )
        except NotFound:
            return  # the watch is about to tell us

    # --- reconciles -----------------------------------------------------------------------------

    def is_armed(self, loop_name: str) -> bool:
        return loop_name in self._armed

    def reconcile(
        self, loop: ReconcileLoop, key: str, call: Callable[[str], float | None]
    ) -> float | None:
        """A reconcile of a loop that has breakpoints."""
        with self._changed:
            stale = self._stale.pop((loop.name, key), None)
            if stale is not None:
                self._arm()
        watching = Watching(self, loop, key, stale)
        debug_hook.watched(watching, watching.look)
        if not watching.points and stale is None:
            return call(key)
        try:
            return debug_hook.watched(watching, lambda: call(key))
        finally:
            if stale is not None:
                loop.add(key)  # the cache has caught up

    def picture(self, loop: ReconcileLoop, key: str) -> Picture:
        """What a loop shows of a key, or what can be shown of any object."""
        if loop.picture is not None:
            return loop.picture(key)
        subject = self._subject(loop.name, key)
        if subject is None:
            return Picture(None)
        observed = {"status": subject["status"]} if "status" in subject else {}
        return Picture(subject, observed, subject.get("spec") or {})

    def _subject(self, loop_name: str, key: str) -> Object | None:
        kinds = debugging.kinds_of(self._controllers[loop_name])
        for kind in kinds:
            if len(kinds) == 1 or scheme.resource(kind).namespaced == ("/" in key):
                return self._informers.informer(kind).get(key)
        return None

    def selecting(self, loop_name: str, subject: Object | None) -> list[str]:
        """The breakpoints at which this reconcile may stop; hits that are to be skipped are."""
        with self._changed:
            found = []
            for name in self._armed.get(loop_name, ()):
                point = self._breakpoints[name]
                if point.selects(subject):
                    found.append(name)
            return found

    def where_to_stop(
        self, names: Iterable[str], variables: Object, *, is_stepping: str
    ) -> str | None:
        """The breakpoint that stops this step, if any. Counts. Raises Interrupted if one would, and
        too many have stopped already."""
        with self._changed:
            if is_stepping in self._breakpoints:
                return is_stepping
            for name in names:
                point = self._breakpoints.get(name)
                if point is None or not point.may_stop:
                    continue
                if point.condition is not None and not point.condition.holds(variables):
                    continue
                if point.skipped < point.skip_hits:
                    point.skipped += 1
                    self._publisher.add(name)
                    continue
                if self._count_stops() >= MOST_STOPS:
                    raise Interrupted("as many reconciles are stopped as may be")
                point.hits += 1
                return name
        return None

    def _count_stops(self) -> int:
        return sum(len(point.stops) for point in self._breakpoints.values())

    def hold(self, watching: Watching, name: str, stop: Stop) -> Command:
        """Wait for what is to be done about a stop."""
        with self._changed:
            point = self._breakpoints.get(name)
            if point is None:
                return Command("Continue", reason="BreakpointDeleted")
            point.stops.append(stop)
        self._publisher.add(name)
        began_us = now_us()
        with watching.loop.relieved():
            command = self._wait(name, stop, watching.subject)
        _tell_trace(now_us() - began_us)
        with self._changed:
            point = self._breakpoints.get(name, point)
            point.stops = [one for one in point.stops if one is not stop]
            if command.reason:
                _log.info("breakpoint %s: %s goes on: %s", name, stop.key, command.reason)
                now = meta.now_micro()
                point.last_release = {"key": stop.key, "time": now, "reason": command.reason}
            elif command.type != "Inject":
                self._note_action(point, command, stop.key, "Done")
            self._arm()
        self._publisher.add(name)
        return command

    def _wait(self, name: str, stop: Stop, subject: Object | None) -> Command:
        with self._changed:
            while stop.command is None:
                left_s = stop.until - self._clock.monotonic()
                point = self._breakpoints.get(name)
                if point is None:
                    return Command("Continue", reason="BreakpointDeleted")
                if point.is_disabled or (subject is not None and not point.selects(subject)):
                    return Command("Continue", reason="BreakpointChanged")
                if left_s <= 0:
                    return Command("Continue", reason="TimedOut")
                if self._is_closed:
                    return Command("Continue", reason="ProcessEnds")
                if self._informer.away_s() > AWAY_S:
                    return Command("Continue", reason="ServerAway")
                self._changed.wait(min(left_s, LOOK_S))
            return stop.command

    # --- what is injected -----------------------------------------------------------------------

    def injected(self, name: str, command: Command, key: str, *, refusal: str = "") -> None:
        """Say what came of an injection."""
        with self._changed:
            point = self._breakpoints.get(name)
            if point is not None:
                result = "Refused" if refusal else "Done"
                self._note_action(point, command, key, result, refusal)

    def crash(self, name: str, command: Command, key: str) -> None:
        """End this process as `kill -9` does; only after the API server has been told, else it
        would be done again after the restart."""
        self.injected(name, command, key)
        debug_hook.watched(None, lambda: self._publish(name))
        _log.warning("breakpoint %s: killed at %s, as was asked for", name, key)
        os.kill(os.getpid(), signal.SIGKILL)

    def give_stale(self, name: str, watching: Watching) -> str:
        """Have the key come again, with the object as it was before its last change; why that
        cannot be, or ""."""
        subject = watching.subject
        if watching.controller in NEVER_STALE or subject is None:
            return f"{watching.controller} does not read this object from a cache"
        resource = scheme.by_kind(subject["apiVersion"], subject["kind"])
        version = int(subject["metadata"]["resourceVersion"])
        try:
            before = debug_hook.watched(None, lambda: self._at(resource, subject, version - 1))
        except ClientError as error:
            return f"the version before {version} cannot be had: {error}"
        if before is debug_hook.ABSENT and debugging.node_of(watching.controller):
            return "before this version the kubelet did not know the Pod"
        with self._changed:
            cached = (resource.key, meta.key_of(subject))
            self._stale[watching.loop.name, watching.key] = (name, cached, before)
            self._arm()
        return ""

    def _at(self, resource: scheme.Resource, subject: Object, version: int) -> Object:
        about = subject["metadata"]
        fields = f"metadata.name={about['name']}"
        if resource.key == "pods" and (node := subject["spec"].get("nodeName")):
            fields += f",spec.nodeName={node}"  # all that a kubelet may ask for
        query = {
            "fieldSelector": fields,
            "resourceVersion": str(version),
            "resourceVersionMatch": "Exact",
        }
        path = resource.path(about.get("namespace"))
        items = self._client.raw("GET", path, query=query).json()["items"]
        if not items:
            return debug_hook.ABSENT
        return {"apiVersion": resource.api_version, "kind": resource.kind, **items[0]}

    def controller_of(self, loop: ReconcileLoop) -> str:
        return self._controllers[loop.name]

    def until(self, name: str) -> tuple[float, int]:
        """When a stop that begins now ends by itself: (monotonic, in how many seconds)."""
        with self._changed:
            point = self._breakpoints.get(name)
            longest_s = point.longest_s if point else 0
        return self._clock.monotonic() + longest_s, longest_s

    def now(self, plus_s: float = 0) -> str:
        return meta.now_micro(self._clock.now() + timedelta(seconds=plus_s))


class Watching:
    """One reconcile of a key that a breakpoint selects: a debug_hook.Session."""

    def __init__(
        self,
        debugger: Debugger,
        loop: ReconcileLoop,
        key: str,
        stale: tuple[str, tuple[str, str], Object] | None,
    ) -> None:
        self._debugger, self.loop, self.key = debugger, loop, key
        self.controller = debugger.controller_of(loop)
        self.stale = {stale[1]: stale[2]} if stale else {}
        self.subject: Object | None = None
        self.points: list[str] = []
        self._stale_by = stale[0] if stale else ""
        self._picture = Picture(None)
        self._stepping = self._stale_by  # the breakpoint that the next step stops at
        self._is_running = self._is_interrupted = False
        self._done: list[Object] = []
        self._steps = 0
        self._item = _item(loop, key)

    def look(self) -> None:
        """See what the key is about, and who wants to stop it."""
        self._picture = self._debugger.picture(self.loop, self.key)
        self.subject = self._picture.subject
        self.points = self._debugger.selecting(self.loop.name, self.subject)

    def step(self, step: Step) -> Any:
        """A step of the reconcile: done, or not, as the breakpoint's owner says."""
        if self._is_interrupted:
            raise Interrupted(f"{self.key}: the debugger has ended this reconcile")
        if self._is_running:
            return step.send()
        variables = self._variables(step)
        try:
            name = self._debugger.where_to_stop(self.points, variables, is_stepping=self._stepping)
        except Interrupted:
            self._is_interrupted = True
            self.loop.add_after(self.key, HELD_BACK_S)
            raise
        if name is None:
            return self._send(step)
        return self._stop(name, step)

    def _stop(self, name: str, step: Step) -> Any:
        self._steps += 1
        plan = self._plan(step)
        until, longest_s = self._debugger.until(name)
        shown = self._shown(plan, self._debugger.now(longest_s))
        while True:
            stop = Stop(self._name, self._names, shown, until)
            command = self._debugger.hold(self, name, stop)
            self._stepping = name if command.type != "Continue" else ""
            if command.type == "Continue":
                self._is_running = True
            if command.type != "Inject":
                return self._send(step)
            refusal = self._inject(name, command, step)
            self._debugger.injected(name, command, self._name, refusal=refusal)

    def _inject(self, name: str, command: Command, step: Step) -> str:
        """Raise or kill as was asked for; why that cannot be."""
        if command.inject == "Crash":
            self._debugger.crash(name, command, self._name)
        if command.inject == "StaleRead":
            if refusal := self._debugger.give_stale(name, self):
                return refusal
            self._debugger.injected(name, command, self._name)
            self._is_interrupted = True
            self.loop.add(self.key)
            raise Interrupted(f"{self.key}: to be reconciled on an older version")
        error = step.error(command.inject, name)
        if error is None:
            return f"{step.planned.verb} knows no {command.inject}"
        self._debugger.injected(name, command, self._name)
        self._note(step, f"injected: {outcome_of(error, None)}")
        raise error

    def _send(self, step: Step) -> Any:
        try:
            answer = step.send()
        except Exception as error:
            self._note(step, outcome_of(error, None))
            raise
        self._note(step, outcome_of(None, answer))
        return answer

    def _note(self, step: Step, outcome: str) -> None:
        self._done.append({**_words(step.planned), "subresource": step.subresource,
                           "outcome": outcome})  # fmt: skip
        del self._done[:-DONE_SHOWN]
        for planned in self._picture.planned:
            if _is_meant(planned, step.planned):
                self._picture.planned.remove(planned)
                break

    # --- what is shown --------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        """What people call the key."""
        return meta.key_of(self.subject) if self.subject else self.key

    @property
    def _names(self) -> frozenset[str]:
        return frozenset({self._name, self.key})

    def _variables(self, step: Step) -> Object:
        write = {**_words(step.planned), "subresource": step.subresource, "body": step.body}
        return {
            "object": self.subject,
            "write": write,
            "key": self._name,
            "controller": self.controller,
        }

    def _plan(self, step: Step) -> list[Object]:
        """The step in full, then what the loop means to do after it."""
        first: Object = {**_words(step.planned), "body": bounded(step.body)}
        if step.subresource:
            first["subresource"] = step.subresource
        if step.rehearse is not None:
            try:
                before, after = debug_hook.watched(None, step.rehearse)
                found, more = changes(before, after, CHANGES_SHOWN)
                first["changes"] = [
                    {name: bounded(value, CHANGE_BYTES) for name, value in one.items()}
                    for one in found
                ]
                if more:
                    first["changesNotShown"] = more
            except ClientError as error:
                first["refused"] = outcome_of(error, None)
        rest = list(self._picture.planned)
        for planned in rest:
            if _is_meant(planned, step.planned):
                rest.remove(planned)
                break
        return [first, *(_words(planned) for planned in rest[:PLANNED_SHOWN])]

    def _shown(self, plan: list[Object], until: str) -> Object:
        shown: Object = {
            "key": self._name,
            "since": self._debugger.now(),
            "until": until,
            "step": self._steps,
            "item": self._item,
            "observed": bounded(self._picture.observed),
            "desired": bounded(without_secrets(self._picture.desired)),
            "plannedWrites": plan,
            "writes": list(self._done),
        }
        if self.stale:
            shown["injected"] = "StaleRead"
        if self.subject is not None:
            about = self.subject["metadata"]
            named = {name: about.get(name, "") for name in ("namespace", "name", "uid")}
            kinds = {name: self.subject.get(name, "") for name in ("apiVersion", "kind")}
            shown["object"] = {name: value for name, value in {**kinds, **named}.items() if value}
        return shown


def _tell_trace(held_us: int) -> None:
    """The trace of this reconcile says what part of its time was ours."""
    span = tracing.active()
    if span is not None:
        span.attributes["heldUs"] = span.attributes.get("heldUs", 0) + held_us


def _item(loop: ReconcileLoop, key: str) -> Object:
    """What is known of a key that was taken from its queue: how long it waited, and why it was
    wanted: the changes that woke it, the one that counts most first."""
    reasons = loop.queue.why(key)
    item: Object = {
        "key": key,
        "queue": loop.name,
        "failures": loop.queue.failures(key),
        "waiting": len(loop.queue),
    }
    if reasons.since_us:
        item["waitedMs"] = round((now_us() - reasons.since_us) / 1000, 3)
    if reasons.causes:
        item["causes"] = [
            {"resourceVersion": str(cause.rv), "object": cause.key, "isStatus": cause.is_status,
             "traceId": cause.trace_id, "spanId": cause.span_id}
            for cause in reasons.causes
        ]  # fmt: skip
    return item


def _words(planned: Planned) -> Object:
    found = {"verb": planned.verb, "resource": planned.resource,
             "namespace": planned.namespace, "name": planned.name}  # fmt: skip
    return {name: value for name, value in found.items() if value}


def _is_meant(planned: Planned, step: Planned) -> bool:
    """Whether a step is the one that was planned; a name that is not known yet is any."""
    is_same = (planned.verb, planned.resource) == (step.verb, step.resource)
    return is_same and (not planned.name or not step.name or planned.name == step.name)


def bounded(value: Any, most: int = MOST_BYTES) -> Any:
    """A value that is no longer than that as JSON: long lists are cut, then all of it."""
    if len(orjson.dumps(value)) <= most:
        return value
    cut = _cut(value)
    size = len(orjson.dumps(cut))
    return cut if size <= most else {"notShown": f"{size} bytes"}


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(one) for name, one in value.items()}
    if isinstance(value, list):
        shown = [_cut(one) for one in value[:LIST_SHOWN]]
        return [*shown, f"and {len(value) - LIST_SHOWN} more"] if len(value) > LIST_SHOWN else shown
    if isinstance(value, str) and len(value) > 1024:
        return f"{value[:1024]}…"
    return value


def _labels(selector: Object | None) -> LabelSelector:
    try:
        return from_dict(selector) if selector else EVERYTHING
    except SelectorError:
        return EVERYTHING  # the API server lets none of these through


def _condition(text: str | None) -> Expression | None:
    try:
        return Expression(text, debugging.CONDITION_VARIABLES) if text else None
    except ExpressionError as error:
        _log.warning("a condition that cannot be read stops nothing: %s", error)
        return Expression("false", ())
