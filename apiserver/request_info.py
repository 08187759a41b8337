"""What a request asks for: the verb, and of which resource. Room apiserver; called by routes.py.

/api/v1/namespaces/NS/pods/NAME/log     /apis/apps/v1/deployments     /api/v1/nodes/N/proxy/images
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from apiserver.discovery import METRICS, REVIEWS
from apiserver.errors import ApiError
from podium.api import status
from podium.api.scheme import Resource, by_path

# What stands behind a namespace's name and is not a resource in it.
_OF_NAMESPACES = ("status", "finalize")
_TRUE = ("1", "true", "True", "t", "TRUE", "T")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. `is_read_only`: a session of the status page. `extra` is what a token says beyond
    the name, by key."""

    name: str
    groups: tuple[str, ...] = ()
    is_read_only: bool = False
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A UserInfo."""
        info: dict[str, Any] = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra}
        return info


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


@dataclass(slots=True)
class Call:
    """One request for a resource. `rest` is what follows a subresource (nodes/N/proxy/rest…)."""

    method: str
    verb: str
    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str | None
    rest: str
    query: dict[str, str]
    user: User
    environ: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    @property
    def key_namespace(self) -> str:
        """The namespace as the store keys it."""
        return self.namespace or ""

    def flag(self, name: str) -> bool:
        """A query parameter that is true or false."""
        return self.query.get(name, "") in _TRUE

    def required_name(self) -> str:
        assert self.name is not None, "the router gives a name to every verb that needs one"
        return self.name

    @property
    def is_dry_run(self) -> bool:
        """`dryRun=All`; any other value is refused."""
        value = self.query.get("dryRun", "")
        if value not in ("", "All"):
            raise ApiError(
                status.bad_request(
                    f'Invalid value: "{value}": dryRun: Unsupported value: supported values: "All"'
                )
            )
        return value == "All"


def parse(method: str, path: str, query_string: str, user: User, environ: dict[str, Any]) -> Call:
    """The call of a path below /api or /apis; ApiError 404 or 405."""
    parts = [part for part in path.split("/") if part]
    group, version, rest = _group_version(parts)
    query = dict(parse_qsl(query_string, keep_blank_values=True)) if query_string else {}
    namespace: str | None = None
    if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in _OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    if not rest:
        raise ApiError(status.page_not_found())
    resource = _resource(group, version, rest[0])
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else None
    if namespace is not None and not resource.namespaced:
        raise ApiError(status.page_not_found())
    if name is not None and resource.namespaced and namespace is None:
        raise ApiError(status.page_not_found())
    if subresource is not None and subresource not in resource.subresources:
        raise ApiError(status.page_not_found())
    if len(rest) > 3 and subresource != "proxy":
        raise ApiError(status.page_not_found())
    tail = path.split("/proxy", 1)[1] if subresource == "proxy" else ""
    verb = _verb(method, resource, name, query)
    return Call(method, verb, resource, namespace, name, subresource, tail, query, user, environ)


def _resource(group: str, version: str, plural: str) -> Resource:
    try:
        return by_path(group, version, plural)
    except LookupError:
        for known in (*REVIEWS, *METRICS):
            if (known.group, known.version, known.plural) == (group, version, plural):
                return known
    raise ApiError(status.page_not_found())


def _group_version(parts: list[str]) -> tuple[str, str, list[str]]:
    if len(parts) >= 2 and parts[0] == "api":
        return "", parts[1], parts[2:]
    if len(parts) >= 3 and parts[0] == "apis":
        return parts[1], parts[2], parts[3:]
    raise ApiError(status.page_not_found())


def _verb(method: str, resource: Resource, name: str | None, query: dict[str, str]) -> str:
    match method:
        case "GET" | "HEAD":
            if query.get("watch", "") in _TRUE:
                return "watch"
            return "list" if name is None else "get"
        case "POST":
            return "create"
        case "PUT" if name is not None:
            return "update"
        case "PATCH" if name is not None:
            return "patch"
        case "DELETE":
            return "deletecollection" if name is None else "delete"
    raise ApiError(status.method_not_allowed(resource))
