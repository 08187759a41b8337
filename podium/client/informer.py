"""Room podium/client: a cache that follows one kind, by one LIST and then one WATCH.

    informers = InformerFactory(client)
    pods = informers.informer("pods", field_selector="spec.nodeName=a")
    pods.add_handler(on_add=…, on_update=…, on_delete=…)
    informers.start()

A watch that ends is taken up again from the last version seen (bookmarks keep that fresh); a
version that is too old means a new LIST, whose differences are told like changes. Handlers run in
the informer's thread, one after the other and in the order of the changes: they put keys into
queues and do no work. Cached objects are shared: copy before changing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from podium.api import scheme
from podium.api.meta import key_of
from podium.api.scheme import Resource
from podium.client import debug_hook, tracing
from podium.client.backoff import Backoff
from podium.client.causes import Cause
from podium.client.errors import ApiError, ClientError, Gone
from podium.client.http import Client
from podium.client.known_causes import KnownCauses
from podium.client.watch import Event, Watch

Object = dict[str, Any]
Objects = list[Object]
IndexFunction = Callable[[Object], Iterable[Hashable]]

# The server ends a watch after a while, so that its load spreads; not all informers at once.
WATCH_TIMEOUT_S = (300, 600)
SHORT_WATCH_S = 1.0  # a watch that ends sooner is not taken up again without a pause
STOP_TIMEOUT_S = 2.0

_log = logging.getLogger("informer")
_random = random.Random()  # not that of the whole process, on which others may count


class Handler:
    """What to call on a change."""

    def __init__(
        self,
        on_add: Callable[[Object], None] | None,
        on_update: Callable[[Object, Object], None] | None,
        on_delete: Callable[[Object], None] | None,
    ) -> None:
        self._on_add, self._on_update, self._on_delete = on_add, on_update, on_delete

    def tell(self, old: Object | None, new: Object | None) -> None:
        """An exception is logged and goes no further: the cache must go on for the others."""
        try:
            if old is None and new is not None:
                if self._on_add:
                    self._on_add(new)
            elif old is not None and new is not None:
                if self._on_update:
                    self._on_update(old, new)
            elif old is not None and self._on_delete:
                self._on_delete(old)
        except Exception:  # noqa: BLE001
            obj: Object = new or old or {}
            _log.exception("a handler failed for %s %s", obj.get("kind"), key_of(obj))


class Informer:
    """The objects of one kind (of one namespace, of one selector), as last heard of."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> None:
        self.resource = resource
        self._client = client.with_patience(0)  # this loop has a patience of its own
        self._where: dict[str, Any] = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._lock = threading.Lock()  # guards _objects and _indexes
        self._telling = threading.RLock()  # changes are told one after the other
        self._objects: dict[str, Object] = {}
        self._index_functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[Hashable, dict[str, Object]]] = {}
        self._handlers: list[Handler] = []
        self._causes = KnownCauses()
        self._rv: str | None = None  # None: list first
        self._watch: Watch | None = None
        self._lost_at: float | None = None  # monotonic; None: all is well
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- asking ---------------------------------------------------------------------------------

    def get(self, key: str) -> Object | None:
        """By "namespace/name", or "name" for what has no namespace."""
        with self._lock:
            found = self._objects.get(key)
        return debug_hook.as_cached(self.resource.key, key, found)

    def list(self, namespace: str | None = None) -> Objects:
        with self._lock:
            found = list(self._objects.values())
        if namespace is None:
            return found
        return [obj for obj in found if obj["metadata"].get("namespace") == namespace]

    def by_index(self, name: str, value: Hashable) -> Objects:
        """The objects for which the index function gave this value; KeyError for no such index."""
        with self._lock:
            found = list(self._indexes[name].get(value, {}).values())
        return debug_hook.all_as_cached(self.resource.key, found)

    def has_synced(self) -> bool:
        """Whether the first LIST has been told to all handlers."""
        return self._synced.is_set()

    def wait_synced(self, timeout_s: float | None = None) -> bool:
        return self._synced.wait(timeout_s)

    def away_s(self) -> float:
        """How long the server has not been heard of; 0 while all is well."""
        lost_at = self._lost_at
        return time.monotonic() - lost_at if lost_at is not None else 0.0

    # --- setting up -----------------------------------------------------------------------------

    def add_handler(
        self,
        on_add: Callable[[Object], None] | None = None,
        on_update: Callable[[Object, Object], None] | None = None,
        on_delete: Callable[[Object], None] | None = None,
    ) -> None:
        """Be told of changes; what is in the cache already is told at once as added."""
        handler = Handler(on_add, on_update, on_delete)
        with self._telling:
            self._handlers.append(handler)
            for obj in self.list():
                with tracing.reacting_to(self._causes.of(key_of(obj))):
                    handler.tell(None, obj)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Make `by_index(name, value)` work; `function` gives an object's values."""
        with self._lock:
            self._index_functions[name] = function
            self._indexes[name] = {}
            for key, obj in self._objects.items():
                self._enter(name, key, obj)

    def has_index(self, name: str) -> bool:
        with self._lock:
            return name in self._indexes

    def start(self) -> None:
        """Begin to follow. Safe to repeat."""
        if self._thread is None:
            name = f"informer-{self.resource.plural}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the watch at once and the thread with it. Safe to repeat."""
        self._stopping.set()
        watch = self._watch
        if watch is not None:
            watch.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_TIMEOUT_S)

    # --- following ------------------------------------------------------------------------------

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                if self._rv is None:
                    self._relist()
                self._follow(backoff)
            except Gone:
                self._rv = None  # what we missed has been compacted away
            except (ClientError, KeyError) as error:
                self._note_loss(error)
            else:
                if time.monotonic() - started > SHORT_WATCH_S:
                    continue  # it ended as it should: take it up again at once
            self._stopping.wait(backoff.next_s())

    def _note_loss(self, error: Exception) -> None:
        if self._lost_at is not None or self._stopping.is_set():
            return
        self._lost_at = time.monotonic()
        level = logging.WARNING if isinstance(error, ApiError) else logging.INFO
        _log.log(level, "%s: %s", self.resource.key, error)

    def _note_return(self) -> None:
        if self._lost_at is not None:
            away_s = time.monotonic() - self._lost_at
            _log.info("%s: watching after %.2f s", self.resource.key, away_s)
            self._lost_at = None

    def _relist(self) -> None:
        listed = self._client.list(self.resource, causes=True, **self._where)
        self._replace(listed)
        self._rv = listed["metadata"]["resourceVersion"]
        self._synced.set()

    def _follow(self, backoff: Backoff) -> None:
        """Tell what a watch says until it ends; raises when it breaks."""
        timeout_s = _random.uniform(*WATCH_TIMEOUT_S)
        with self._client.watch(
            self.resource,
            resource_version=self._rv,
            timeout_s=timeout_s,
            causes=True,
            **self._where,
        ) as watch:
            self._watch = watch
            if self._stopping.is_set():
                return  # stop() came before there was a watch to close
            backoff.reset()
            self._note_return()
            for event in watch:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        obj = event.object
        rv = obj["metadata"]["resourceVersion"]
        if event.type in ("ADDED", "MODIFIED"):
            key = key_of(obj)
            self._tell(key, obj, self._causes.of_event(key, event))
        elif event.type == "DELETED":
            key = key_of(obj)
            self._tell(key, None, self._causes.of_event(key, event), last_known=obj)
        self._rv = rv

    def _replace(self, listed: Object) -> None:
        """Take over a LIST; its items have no kind of their own."""
        kind, api_version = self.resource.kind, self.resource.api_version
        found: dict[str, Object] = {}
        for item in listed["items"]:
            item.setdefault("kind", kind)
            item.setdefault("apiVersion", api_version)
            found[key_of(item)] = item
        with self._lock:
            gone = [key for key in self._objects if key not in found]
        for key in gone:
            self._tell(key, None)
            self._causes.forget(key)
        for key, obj in found.items():
            self._tell(key, obj, self._causes.of_listed(key, obj, listed.get("causes") or {}))

    def _tell(
        self,
        key: str,
        new: Object | None,
        causes: tuple[Cause, ...] = (),
        last_known: Object | None = None,
    ) -> None:
        """Put one change into the cache, then tell it, with what made it."""
        with self._telling, tracing.reacting_to(causes):
            with self._lock:
                old = self._objects.get(key)
                self._store(key, old, new)
            if new is not None and old is not None and _version(old) == _version(new):
                return  # a LIST that brings what we knew
            if new is None and old is None:
                return
            if new is None:
                old = last_known or old
            elif old is not None and _uid(old) != _uid(new):
                self._tell_handlers(old, None)  # deleted and made anew while we did not look
                old = None
            self._tell_handlers(old, new)

    def _tell_handlers(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            handler.tell(old, new)

    def _store(self, key: str, old: Object | None, new: Object | None) -> None:
        if old is not None:
            for name in self._indexes:
                self._leave(name, key, old)
        if new is None:
            self._objects.pop(key, None)
            return
        self._objects[key] = new
        for name in self._indexes:
            self._enter(name, key, new)

    def _enter(self, name: str, key: str, obj: Object) -> None:
        for value in self._index_functions[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _leave(self, name: str, key: str, obj: Object) -> None:
        index = self._indexes[name]
        for value in self._index_functions[name](obj):
            entries = index.get(value)
            if entries is not None:
                entries.pop(key, None)
                if not entries:
                    del index[value]


def _uid(obj: Object) -> Any:
    return obj["metadata"].get("uid")


def _version(obj: Object) -> tuple[Any, Any]:
    return _uid(obj), obj["metadata"].get("resourceVersion")


class InformerFactory:
    """One informer, and so one watch, for each kind and selector: whoever asks shares it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[str, str | None, str | None, str | None], Informer] = {}
        self._lock = threading.Lock()

    def informer(
        self,
        res: str | Resource,
        field_selector: str | None = None,
        namespace: str | None = None,
        label_selector: str | None = None,
    ) -> Informer:
        """The shared informer; it follows after the next `start()`."""
        resource = scheme.resource(res) if isinstance(res, str) else res
        wanted = (resource.key, namespace, label_selector, field_selector)
        with self._lock:
            if wanted not in self._informers:
                self._informers[wanted] = Informer(
                    self.client,
                    resource,
                    namespace=namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                )
            return self._informers[wanted]

    def start(self) -> None:
        """Start those that are not started. Safe to repeat."""
        for informer in self._all():
            informer.start()

    def wait_synced(self, timeout_s: float | None = None) -> bool:
        """Whether all have their first LIST within the time; None waits for ever."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return all(
            informer.wait_synced(None if deadline is None else max(0, deadline - time.monotonic()))
            for informer in self._all()
        )

    def stop(self) -> None:
        for informer in self._all():
            informer.stop()

    def _all(self) -> list[Informer]:
        with self._lock:
            return list(self._informers.values())
