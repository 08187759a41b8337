"""Room podium/client: a write as a debugger shows it. Called by http.py for a watched reconcile.

What it would change is not guessed: the server is asked with dryRun=All, and the answer compared
with what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from podium.api import scheme
from podium.api.scheme import Resource
from podium.client.debug_hook import Planned, Step
from podium.client.errors import ApiError, Conflict, NotFound, ServerError

Object = dict[str, Any]
Exchange = Callable[..., Object]

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
REDACTED = "<redacted>"
_SECRET = ("data", "stringData")
# Nothing is stored, and what is answered is a secret, even to a dry run.
_CHANGES_NOTHING = frozenset({"token"})
_NOISE = ("metadata.resourceVersion", "metadata.managedFields", "metadata.generation")


class Target:
    """What a URL path names. LookupError for one that is no object of a kind we know."""

    def __init__(self, path: str) -> None:
        parts = [unquote(part) for part in path.split("/") if part]
        group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (
            parts[1], parts[2], parts[3:])  # fmt: skip
        self.namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            self.namespace, rest = rest[1], rest[2:]
        self.resource: Resource = scheme.by_path(group, version, rest[0])
        self.name = rest[1] if len(rest) > 1 else ""
        self.subresource = rest[2] if len(rest) > 2 else ""

    @property
    def path(self) -> str:
        """Of the object, without a subresource."""
        return self.resource.path(self.namespace or None, self.name)


def step_of(  # noqa: PLR0917 - as http.py sends them
    exchange: Exchange, method: str, path: str, query: Any, body: bytes | None, content_type: str
) -> Step | None:
    """A request as a step; None for one that changes no object that we know."""
    try:
        target = Target(path)
    except (LookupError, IndexError):
        return None
    if target.subresource in _CHANGES_NOTHING:
        return None
    sent = orjson.loads(body) if body else None
    name = target.name or _name_in(sent)
    planned = Planned(VERBS[method], target.resource.key, name, target.namespace)

    def rehearse() -> tuple[Object | None, Object | None]:
        """(what is stored, what would be)."""
        before = _stored(exchange, target) if target.name else None
        if target.subresource == "binding" and before is not None and isinstance(sent, dict):
            return before, _bound(before, sent)
        asked = {**(query or {}), "dryRun": "All"}
        after = exchange(method, path, asked, body, content_type)
        if after.get("kind") != target.resource.kind:
            return None, None  # it answers with something else: a Status, a Scale
        return before, after

    def error(kind: str, by: str) -> Exception | None:
        if kind == "Conflict":
            message = (
                f'Operation cannot be fulfilled on {target.resource.key} "{name}": '
                f"injected by breakpoint {by}"
            )
            return Conflict(409, "Conflict", message)
        return ServerError(500, "InternalError", f"Internal error occurred: injected by {by}")

    return Step(
        planned,
        send=lambda: exchange(method, path, query, body, content_type),
        body=_without_secrets(target.resource.kind, sent),
        subresource=target.subresource,
        rehearse=rehearse,
        error=error,
    )


def _name_in(sent: Any) -> str:
    about = (sent.get("metadata") or {}) if isinstance(sent, dict) else {}
    generated = f"{about['generateName']}*" if about.get("generateName") else ""
    return str(about.get("name") or generated)


def _stored(exchange: Exchange, target: Target) -> Object | None:
    try:
        return exchange("GET", target.path)
    except NotFound:
        return None


def _bound(pod: Object, binding: Object) -> Object:
    """What a Binding makes of a Pod, for there is nothing to see in its answer."""
    added = (binding.get("metadata") or {}).get("annotations") or {}
    about = {**pod["metadata"]}
    if added:
        about["annotations"] = {**(about.get("annotations") or {}), **added}
    spec = {**pod["spec"], "nodeName": binding["target"]["name"]}
    return {**pod, "metadata": about, "spec": spec}


# --- what is different --------------------------------------------------------------------------


def changes(before: Object | None, after: Object | None, most: int) -> tuple[list[Object], int]:
    """({path, from, to} of what is different, how many more there are)."""
    kind = ((after or before) or {}).get("kind", "")
    found = list(_differences(before, after, ""))
    if before is None or after is None:
        found = []  # it comes to be or goes: the object itself says what
    shown = [_hidden(kind, one) for one in found if not one["path"].startswith(_NOISE)]
    return shown[:most], max(0, len(shown) - most)


def _differences(before: Any, after: Any, path: str) -> Iterator[Object]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            at = f"{path}.{name}" if path else name
            yield from _differences(before.get(name), after.get(name), at)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    else:
        change = {"path": path, "from": before, "to": after}
        yield {name: value for name, value in change.items() if value is not None}


def _hidden(kind: str, change: Object) -> Object:
    """A Secret's contents are nobody's business here."""
    is_content = change["path"].split(".")[0] in _SECRET or "annotations" in change["path"]
    if kind != "Secret" or not is_content:
        return change
    return {name: value if name == "path" else REDACTED for name, value in change.items()}


def without_secrets(obj: Object | None) -> Object | None:
    """An object that may be shown to who may not read it, if it is a Secret."""
    found: Object | None = _without_secrets((obj or {}).get("kind", ""), obj)
    return found


def _without_secrets(kind: str, body: Any) -> Any:
    if kind != "Secret":
        return body
    if not isinstance(body, dict):
        return REDACTED  # a JSON patch
    shown = {key: REDACTED if key in _SECRET else value for key, value in body.items()}
    about = shown.get("metadata")
    if isinstance(about, dict) and "annotations" in about:
        shown["metadata"] = {**about, "annotations": REDACTED}
    return shown


def outcome_of(error: Exception | None, answer: Any) -> str:
    """How a write went, in a few words."""
    if isinstance(error, ApiError):
        return f"{error.code} {error.reason}: {error.message}"
    if error is not None:
        return f"{type(error).__name__}: {error}"
    about = (answer.get("metadata") or {}) if isinstance(answer, dict) else {}
    version = about.get("resourceVersion")
    return f"done at resourceVersion {version}" if version else "done"
