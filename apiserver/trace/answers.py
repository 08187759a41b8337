"""What is asked of the trace over HTTP. Room apiserver/trace; mounted by trace_routes.py.

An object's trace is that of its last change that was not of its status (of a Pod: of its creation,
for its start is what one asks about), or of the change that `?revision=` names. Who may `get` the
object may ask, also of one that is gone; what else the tree tells of and they may not get is shown
without its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from apiserver import span_log
from apiserver.authorization import MASTERS, Action, is_allowed, node_of
from apiserver.errors import ApiError
from apiserver.models import causes
from apiserver.request_info import Call, User
from apiserver.storage import Record, Store
from apiserver.trace import gone, pods, tree
from apiserver.trace.gone import Gone, change, own_changes
from apiserver.trace.tree import Node, rfc3339
from podium.api import scheme, status

Object = dict[str, Any]
Subject = Record | Gone

TOLD_AT_ONCE = 500
OTHERS_MAX = 20  # earlier changes of an object that are told of
_MADE_BY_OTHERS = frozenset({"pods", "replicasets.apps"})  # one asks how they came to be


class TraceAnswers:
    """One per server."""

    def __init__(self, store: Store, spans: span_log.SpanLog) -> None:
        self._store, self._spans = store, spans

    def find(self, call: Call) -> Subject:
        """The object that a call names, or the newest of that name that is gone; ApiError 404.
        A node is told of no past: its rights depend on what runs on it now."""
        key, namespace, name = call.resource.key, call.key_namespace, call.required_name()
        found: Subject | None = self._store.get(key, namespace, name)
        if found is None and node_of(call.user) is None:
            found = self._store.read(lambda c: gone.newest_of(c, key, namespace, name))
        if found is None:
            raise ApiError(status.not_found(call.resource, name))
        return found

    def trace(self, call: Call, record: Subject) -> Object:
        """/podium/v1/trace/<resource.group>/<namespace>/<name>"""
        history = self._store.read(lambda c: _history(c, record))
        anchor = _anchor(call, record, history)
        root, cut_off = self._tree(anchor)
        about = {"resource": call.resource.key, "namespace": record.namespace,
                 "name": record.name, "uid": record.uid}  # fmt: skip
        tree.only_about(root, call.resource.key, record.uid)
        may_see = self._may_see(call.user)
        made = [pod for pod in pods.pods_of(root) if may_see("pods", pod)]
        for node in root.walk():
            if node.kind == "change" and not may_see(
                node.about["object"]["resource"], node.about["object"]
            ):
                node.hide()
        nodes = tree.to_json(root)
        others = [row for row in history if row["trace"] != anchor["trace"]]
        return {
            "object": about, "isDeleted": isinstance(record, Gone),
            "traceId": anchor["trace"], "revision": anchor["rv"],
            "by": root.about.get("by", ""), "manager": anchor["manager"],
            "began": rfc3339(root.began_us),
            "durationMs": tree.ms(root.last_us - root.began_us),
            "isComplete": not cut_off, "orphans": len(cut_off),
            "unfinished": sum(not node["isFinished"] for node in nodes),
            "droppedSpans": sum(self._spans.dropped.values()),
            "spans": nodes, "pods": made,
            "otherChanges": [_other(row) for row in others],
        }  # fmt: skip

    def budget(self, call: Call, record: Subject) -> Object:
        """/podium/v1/budget/pods/<namespace>/<name>"""
        if call.resource.key != "pods":
            raise ApiError(status.page_not_found())
        anchor = self._store.read(lambda c: change(c, record.created_rv))
        if anchor is None:
            raise _not_kept(call, record)
        root, _ = self._tree(anchor)
        for pod in pods.pods_of(root):
            if pod["uid"] == record.uid:
                return pods.budget(pod, anchor["at"])
        raise _not_kept(call, record)

    def told(self, user: User, since: Mapping[str, str]) -> Object:
        """GET /podium/v1/spans: of all traces, spans and changes behind `span` and `revision`, in
        the order in which they were told, and where to go on. Without these: only that."""
        if MASTERS not in user.groups and user.name != "system:kube-controller-manager":
            why = f'User "{user.name}" cannot get path "/podium/v1/spans"'
            raise ApiError(status.forbidden(None, "", why))
        number, revision = _whole_number(since, "span"), _whole_number(since, "revision")
        if number is None or revision is None:
            newest = self._store.read(span_log.newest)
            return {"spans": [], "next": {"span": newest, "revision": self._store.revisions()[0]}}

        def read(connection: Connection) -> tuple[list[Object], list[Object], int]:
            query = select(causes).where(causes.c.rv > revision).order_by(causes.c.rv)
            rows = connection.execute(query.limit(TOLD_AT_ONCE)).mappings()
            found, last = span_log.after(connection, number, TOLD_AT_ONCE)
            return [dict(row) for row in rows], found, last

        changes, found, last = self._store.read(read)
        at = {"span": last, "revision": changes[-1]["rv"] if changes else revision}
        return {"spans": tree.as_told(changes, found), "next": at}

    def _tree(self, anchor: Object) -> tuple[Node, list[Node]]:
        """The tree that holds a change, and what of the trace has lost the way to it."""

        def read(connection: Connection) -> tuple[list[Object], list[Object]]:
            trace_id = anchor["trace"]
            return _changes(connection, trace_id), span_log.of_trace(connection, trace_id)

        roots = tree.roots(*self._store.read(read))
        own = next(r for r in roots if any(node.span_id == anchor["span"] for node in r.walk()))
        return own, [root for root in roots if root is not own]

    def _may_see(self, user: User) -> Callable[[str, Object], bool]:
        """Whether the user may `get` an object. A node's rights are to single objects and depend on
        what is there; of what is gone it is told nothing."""
        is_node = node_of(user) is not None
        known: dict[tuple[str, str, str], bool] = {}

        def may_see(resource: str, obj: Object) -> bool:
            name = obj["name"]
            place = (resource, obj["namespace"], name if is_node else "")
            if place not in known:
                action = _get(resource, obj)
                known[place] = action is not None and is_allowed(self._store, user, action)
                if is_node and known[place]:
                    known[place] = self._store.get(resource, obj["namespace"], name) is not None
            return known[place]

        return may_see


def _get(resource: str, obj: Object) -> Action | None:
    try:
        kind = scheme.resource(resource)
    except LookupError:
        return None
    return Action("get", kind, None, obj["namespace"] or None, obj["name"])


def _whole_number(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name, "")
    if text and not text.isdigit():
        raise ApiError(status.bad_request(f'Invalid value: "{text}": {name}: not a number'))
    return int(text) if text else None


def _anchor(call: Call, record: Subject, history: list[Object]) -> Object:
    """The change whose trace is asked for; ApiError 400, 404."""
    if text := call.query.get("revision", ""):
        if not text.isdigit():
            raise ApiError(status.bad_request(f'Invalid value: "{text}": revision: not a number'))
        found = next((row for row in history if row["rv"] == int(text)), None)
        if found is None:
            what = f'{call.resource.key} "{record.name}"'
            why = f"{what} has no change {text} that is kept; see otherChanges of its trace"
            raise ApiError(status.status(404, "NotFound", why))
        return found
    if not history:
        raise _not_kept(call, record)
    if call.resource.key in _MADE_BY_OTHERS and history[-1]["rv"] == record.created_rv:
        return history[-1]
    return history[0]


def _not_kept(call: Call, record: Subject) -> ApiError:
    why = (
        f'the trace of {call.resource.key} "{record.name}" is not kept any more: '
        "its last change is too old, or was made by an older Podium"
    )
    return ApiError(status.status(404, "NotFound", why))


def _history(connection: Connection, record: Subject) -> list[Object]:
    """Its changes that were not of the status, newest first; the last may be its creation."""
    found = list(islice(own_changes(connection, record.rv), OTHERS_MAX))
    created = change(connection, record.created_rv)
    if created is not None and all(row["rv"] != created["rv"] for row in found):
        found.append(created)
    return found


def _other(row: Object) -> Object:
    return {"revision": row["rv"], "traceId": row["trace"], "at": rfc3339(row["at"]),
            "by": row["actor"], "manager": row["manager"], "verb": tree.VERBS[row["type"]],
            "subresource": row["subresource"]}  # fmt: skip


def _changes(connection: Connection, trace_id: str) -> list[Object]:
    query = select(causes).where(causes.c.trace == trace_id).order_by(causes.c.rv)
    return [dict(row) for row in connection.execute(query).mappings()]
