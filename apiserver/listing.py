"""Which objects a LIST, a WATCH or a deletecollection means, and in what order and pages they come.

Room apiserver; called by verbs.py and watch.py. A long list is read in pages, each as it was at the
first page's revision (the undo log makes that so): no long transaction, and a slow client harms
nobody. That is also how `limit` and `continue` work.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent
import orjson

from apiserver import wire
from apiserver.errors import ApiError
from apiserver.storage import Change, Compacted, Page, Record, Span, Store
from podium.api import status
from podium.api.scheme import Resource
from podium.api.selectors import (
    EVERYTHING,
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)

PAGE = 250  # objects read at once: a millisecond or two, then others get their turn

_EVENT_FIELDS = tuple(
    f"involvedObject.{name}"
    for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)
# What a field selector may ask for, besides metadata.name and metadata.namespace.
FIELDS: dict[str, tuple[str, ...]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
             "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"),
    "events": (*_EVENT_FIELDS, "reason", "reportingComponent", "source", "type"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "replicasets.apps": ("status.replicas",),
    "breakpoints.debug.podium.dev": ("spec.controller",),
    "faults.debug.podium.dev": ("spec.type", "spec.target"),
}  # fmt: skip


def field_value(obj: wire.Object, path: str) -> str:
    """An object's value of a selectable field as text; "" when it has none."""
    if path == "source":
        return str(
            (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
        )
    value: object = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return "0" if path == "status.replicas" else "false" if path in _BOOLEANS else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


_BOOLEANS = ("spec.hostNetwork", "spec.unschedulable")


NO_FIELDS = FieldSelector()


@dataclass(frozen=True, slots=True)
class Filter:
    """A label and a field selector, and the namespace asked for (None: all)."""

    namespace: str | None
    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = NO_FIELDS

    @property
    def takes_all(self) -> bool:
        """Whether nothing of an object but its namespace matters."""
        return not self.labels and not self.fields

    def matches(self, obj: wire.Object) -> bool:
        if self.labels and not self.labels.matches(obj["metadata"].get("labels")):
            return False
        return not self.fields or self.fields.matches(lambda path: field_value(obj, path))

    def event(self, change: Change) -> tuple[str, bytes] | None:
        """(type, body) of a change for who sees only what matches; None: not for them."""
        if self.namespace is not None and change.namespace != self.namespace:
            return None
        if self.takes_all:
            return change.type, change.body
        prev = change.prev_object
        was = prev is not None and self.matches(prev)
        if change.type == "DELETED":
            return ("DELETED", change.body) if was else None
        if self.matches(change.object):
            return ("MODIFIED" if was else "ADDED"), change.body
        if not was or change.prev is None:
            return None
        return "DELETED", wire.at_revision(change.prev, change.prev_rv or 0, change.rv)

    def only_name(self) -> str | None:
        """The one name that can match, if the field selector says so."""
        for path, value, is_equal in self.fields.requirements:
            if path == "metadata.name" and is_equal:
                return value
        return None


def parse_filter(resource: Resource, namespace: str | None, labels: str, fields: str) -> Filter:
    """From a request's query; ApiError 400 when a selector cannot be read or used."""
    try:
        label_selector = parse_label_selector(labels) if labels else EVERYTHING
        field_selector = parse_field_selector(fields) if fields else NO_FIELDS
    except SelectorError as error:
        raise ApiError(status.bad_request(str(error))) from None
    allowed = ("metadata.name", "metadata.namespace", *FIELDS.get(resource.key, ()))
    for path, _, _ in field_selector.requirements:
        if path not in allowed:
            group_version = resource.api_version if resource.group else f"/{resource.version}"
            raise ApiError(
                status.bad_request(
                    f'Unable to find "{group_version}, Resource={resource.plural}" that match '
                    f"label "
                    f'selector "{labels}", field selector "{fields}": field label not '
                    f"supported: {path}"
                )
            )
    return Filter(namespace, label_selector, field_selector)


# ---- pages -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Selection:
    """What a list found. `next_after` is None when nothing is left."""

    records: list[Record]
    rv: int
    next_after: tuple[str, str] | None = None
    remaining: int | None = None


def pages(
    store: Store,
    resource: Resource,
    filter_: Filter,
    after: tuple[str, str] = ("", ""),
    at: int | None = None,
) -> Iterator[Page]:
    """All matching objects, page by page, all as at one revision (the first page's, or `at`)."""
    name = filter_.only_name()
    if (
        name is not None
        and at is None
        and (filter_.namespace is not None or not resource.namespaced)
    ):
        yield _page_of_one(store, resource, filter_, name)
        return
    while True:
        page = store.page(Span(resource.key, filter_.namespace, after, PAGE), at)
        if not filter_.takes_all:
            page.records = [r for r in page.records if filter_.matches(r.object)]
        yield page
        if page.upto is None:
            return
        after, at = page.upto, page.rv
        gevent.sleep(0)


def _page_of_one(store: Store, resource: Resource, filter_: Filter, name: str) -> Page:
    rv, _ = store.revisions()
    record = store.get(resource.key, filter_.namespace or "", name)
    found = [record] if record is not None and filter_.matches(record.object) else []
    return Page(found, rv, None)


def select(
    store: Store,
    resource: Resource,
    filter_: Filter,
    limit: int,
    *,
    after: tuple[str, str] = ("", ""),
    at: int | None = None,
) -> Selection:
    """One page for a client: at most `limit` objects (0: all). Raises Compacted."""
    records: list[Record] = []
    rv = 0
    for page in pages(store, resource, filter_, after, at):
        rv = page.rv
        records += page.records
        if limit and len(records) > limit:
            break
    else:
        if not limit or len(records) <= limit:
            return Selection(records, rv)
    cut = records[:limit]
    remaining = None
    if filter_.takes_all:
        remaining = max(1, store.count(Span(resource.key, filter_.namespace, cut[-1].place)))
    return Selection(cut, rv, cut[-1].place, remaining)


# ---- continue tokens ---------------------------------------------------------------------------


def token(rv: int, after: tuple[str, str]) -> str:
    """An opaque continue token: the list's revision (-1: whatever is now) and where it got to."""
    return (
        base64.urlsafe_b64encode(orjson.dumps({"v": 1, "rv": rv, "after": after}))
        .decode()
        .rstrip("=")
    )


def read_token(text: str) -> tuple[int | None, tuple[str, str]]:
    """(revision or None for "now", after); ApiError 400 for what is no token of ours."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        rv, (namespace, name) = int(found["rv"]), found["after"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise ApiError(
            status.bad_request("continue key is not valid: it was not made by this server")
        ) from None
    return (None if rv < 0 else rv), (str(namespace), str(name))


def expired_token(after: tuple[str, str]) -> ApiError:
    """410 with a token that goes on from there in today's state, inconsistently."""
    body = status.expired(
        "The provided continue parameter is too old to display a consistent list result. You "
        "can start "
        "a new list without the continue parameter, or use the continue token in this response to "
        "retrieve the remainder of the results. Continuing with the provided token results in an "
        "inconsistent list - objects that were created, modified, or deleted between the time the "
        "first chunk was returned and now may show up in the list."
    )
    body["metadata"] = {"continue": token(-1, after)}
    return ApiError(body)


def too_old(rv: int, error: Compacted) -> ApiError:
    return ApiError(status.expired(f"too old resource version: {rv} ({error.oldest})"))


Shape = Callable[[Record | Change, bytes], bytes]
