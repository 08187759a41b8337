"""From the changes and spans of one trace to its tree. Room apiserver/trace; pure.

Nodes are changes (rows of the log of causes), spans that were told, and spans that were not: their
process was killed, or had no room for them. Those are known from what they have left: a change says
which span wrote it, what that reacted to and when it began, and a phase says the same of what it is
a part of. They are shown as unfinished.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from podium.api.trace_context import COMMAND

Object = dict[str, Any]

VERBS = {"ADDED": "create", "MODIFIED": "change", "DELETED": "delete"}


@dataclass(slots=True)
class Node:
    """`kind`: change, command, reconcile, phase, process, or outside for a span of a stranger."""

    span_id: str
    parent_id: str
    kind: str
    name: str
    began_us: int
    ended_us: int
    key: str = ""
    is_finished: bool = True
    reacted_to: list[int] = field(default_factory=list)
    about: Object = field(default_factory=dict)  # what is shown of it besides
    attributes: Object = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """It and everything below it."""
        for _, node in preorder(self):
            yield node

    @property
    def last_us(self) -> int:
        """When the last of it and of what it led to ended."""
        return max(node.ended_us for node in self.walk())

    def hide(self) -> None:
        """Tell of a change, not of which object."""
        self.name = f"{self.about['verb']} {self.about['object']['resource']} (hidden)"
        self.about["object"] = None

    def is_of(self, resource: str, uid: str) -> bool:
        """Whether it is a change of an object, or a look at it."""
        if self.kind == "change":
            obj = self.about["object"]
            return (obj["resource"], obj["uid"]) == (resource, uid)
        return self.key == uid


def roots(changes: Iterable[Object], spans: Iterable[Object]) -> list[Node]:
    """The trees of a trace, earliest first. Of a trace that is kept as a whole there is one."""
    nodes: dict[str, Node] = {}
    span_of: dict[int, str] = {}  # revision → span
    for row in changes:
        nodes[row["span"]] = _of_change(row)
        span_of[row["rv"]] = row["span"]
    phases: list[Object] = []
    for span in spans:
        nodes[span["spanId"]] = _of_span(span)
        if span.get("within"):
            phases.append(span)
    for row in changes:
        _add_writer(nodes, row, span_of)
    for span in phases:
        _add_whole(nodes, span, span_of)
    for node in nodes.values():
        if node.parent_id not in nodes and node.reacted_to:
            node.parent_id = span_of.get(node.reacted_to[0], node.parent_id)
    return _joined(nodes)


def _of_change(row: Object) -> Node:
    about = {
        "object": {"resource": row["resource"], "namespace": row["namespace"],
                   "name": row["name"], "uid": row["uid"]},
        "revision": row["rv"], "verb": VERBS[row["type"]],
        "subresource": row["subresource"], "by": row["actor"], "manager": row["manager"],
    }  # fmt: skip
    return Node(
        row["span"], row["parent"], "change", _title(about), row["arrived"] or row["at"],
        row["at"], about=about,
    )  # fmt: skip


def _title(about: Object) -> str:
    obj, resource = about["object"], about["object"]["resource"]
    if about["subresource"]:
        plural, dot, group = resource.partition(".")
        resource = f"{plural}/{about['subresource']}{dot}{group}"
    where = f"{obj['namespace']}/" if obj["namespace"] else ""
    return f"{about['verb']} {resource} {where}{obj['name']}"


def _of_span(span: Object) -> Node:
    about = {"component": span.get("component", ""), "by": span.get("toldBy", "")}
    return Node(
        span["spanId"], span.get("parentId", ""), span["kind"], span["name"], span["beganUs"],
        max(span["beganUs"], span["endedUs"]), key=span.get("key", ""), about=about,
        reacted_to=list(span.get("reactedTo") or ()), attributes=dict(span.get("attributes") or {}),
    )  # fmt: skip


def _add_writer(nodes: dict[str, Node], row: Object, span_of: dict[int, str]) -> None:
    """The span that wrote a change, if it was not told."""
    span_id = row["parent"]
    if not span_id:
        return
    if span_id not in nodes:
        revisions = [int(text) for text in row["reacted_to"].split(".") if text]
        parent_id = span_of.get(revisions[0], "") if revisions else ""
        kind = _kind_of_writer(row["loop"])
        nodes[span_id] = Node(
            span_id, parent_id, kind, row["loop"] or "a program that traces", row["began"] or
            row["arrived"] or row["at"], row["at"], is_finished=False, reacted_to=revisions,
            about={"component": "", "by": row["actor"]},
        )  # fmt: skip
    elif not nodes[span_id].is_finished:
        nodes[span_id].ended_us = max(nodes[span_id].ended_us, row["at"])


def _kind_of_writer(loop: str) -> str:
    if not loop:
        return "outside"
    return "command" if loop.startswith(COMMAND) else "reconcile"


def _add_whole(nodes: dict[str, Node], span: Object, span_of: dict[int, str]) -> None:
    """The reconcile that a phase is a part of, if it was not told; a phase of a phase that was not
    told becomes one of the reconcile."""
    within, node = span["within"], nodes[span["spanId"]]
    whole_id = within["spanId"]
    if node.parent_id not in nodes:
        node.parent_id = whole_id
    if whole_id not in nodes:
        revisions = list(within.get("reactedTo") or ())
        nodes[whole_id] = Node(
            whole_id, span_of.get(revisions[0], "") if revisions else "", "reconcile",
            within["name"], within["beganUs"], node.ended_us, key=node.key, is_finished=False,
            reacted_to=revisions, about=dict(node.about),
        )  # fmt: skip
    elif not nodes[whole_id].is_finished:
        whole = nodes[whole_id]
        whole.ended_us = max(whole.ended_us, node.ended_us)
        whole.key, whole.about = whole.key or node.key, dict(node.about)


def _joined(nodes: dict[str, Node]) -> list[Node]:
    found: list[Node] = []
    for node in sorted(nodes.values(), key=lambda node: (node.began_us, node.ended_us)):
        parent = nodes.get(node.parent_id)
        if parent is None or _leads_to_itself(nodes, node):
            found.append(node)
        else:
            parent.children.append(node)
    return found


def _leads_to_itself(nodes: dict[str, Node], node: Node) -> bool:
    """Whether its ancestors go round in a circle: only a stranger's ids can make that."""
    seen, at = {node.span_id}, nodes.get(node.parent_id)
    while at is not None:
        if at.span_id in seen:
            return at.span_id == node.span_id
        seen.add(at.span_id)
        at = nodes.get(at.parent_id)
    return False


def only_about(root: Node, resource: str, uid: str) -> bool:
    """Cut from the tree what neither led to a change of the object, or a look at it, nor came of
    one; what its command has written beside it is left, without what came of that. Whether anything
    of it is left."""
    kept: set[str] = set()
    above: list[Node] = []
    for depth, node in preorder(root):
        del above[depth:]
        above.append(node)
        if node.is_of(resource, uid):
            kept.update(one.span_id for one in above)
            kept.update(one.span_id for one in node.walk())
    for node in list(root.walk()):
        node.children = [
            child for child in node.children if child.span_id in kept or _is_beside(node, child)
        ]
    return root.span_id in kept


def _is_beside(parent: Node, child: Node) -> bool:
    return parent.kind == "command" and child.kind == "change"


def preorder(root: Node) -> Iterator[tuple[int, Node]]:
    """Every node with its depth, each before what it led to. A trace may be deeper than Python's
    stack."""
    waiting = [(0, root)]
    while waiting:
        depth, node = waiting.pop()
        yield depth, node
        waiting.extend((depth + 1, child) for child in reversed(node.children))


# ---- as JSON -----------------------------------------------------------------------------------


def to_json(root: Node) -> list[Object]:
    """The tree as a flat list, each node before what it led to, for JSON must not nest deeply."""
    span_of = {
        node.about["revision"]: node.span_id for node in root.walk() if node.kind == "change"
    }
    return [_node_json(node, depth, root.began_us, span_of) for depth, node in preorder(root)]


def as_told(changes: Iterable[Object], spans: Iterable[Object]) -> list[Object]:
    """Of any traces, each as it was told, with its trace's id; for who puts them together."""
    told = [(row["trace"], _of_change(row)) for row in changes]
    told += [(span["traceId"], _of_span(span)) for span in spans]
    return [
        _node_json(node, 0, node.began_us, {}) | {"traceId": trace_id} for trace_id, node in told
    ]


def _node_json(node: Node, depth: int, began_us: int, span_of: dict[int, str]) -> Object:
    links = [{"revision": rv, "spanId": span_of.get(rv)} for rv in node.reacted_to[1:]]
    return {
        "spanId": node.span_id, "parentId": node.parent_id, "depth": depth, "kind": node.kind,
        "name": node.name, "key": node.key, "began": rfc3339(node.began_us),
        "startMs": ms(node.began_us - began_us), "durationMs": ms(node.ended_us - node.began_us),
        "isFinished": node.is_finished, **node.about, "attributes": node.attributes,
        "reactedTo": node.reacted_to, "links": links,
    }  # fmt: skip


def rfc3339(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ms(us: int) -> float:
    return round(us / 1000, 3)
