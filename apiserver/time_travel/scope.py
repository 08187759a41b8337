"""Which kinds, namespace and name a question is about, and whether its asker may know.

Room apiserver/time_travel. Who asks for a kind must be allowed to list it; who asks for all is
answered about those that they may list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apiserver.authorization import Action, is_allowed, refusal
from apiserver.errors import ApiError
from apiserver.request_info import User
from apiserver.storage import Store
from apiserver.time_travel.past_reads import refuse_nodes
from podium.api import scheme, status
from podium.api.scheme import Resource

# What would drown everything else; shown when it is asked for by name.
NOISE = ("leases.coordination.k8s.io", "events")


@dataclass(frozen=True, slots=True)
class Scope:
    """`namespace` and `name` None: all."""

    resources: tuple[Resource, ...]
    namespace: str | None = None
    name: str | None = None


def scope_of(store: Store, user: User, asked: Mapping[str, str]) -> Scope:
    """From a query's `resource`, `namespace` and `name`; ApiError 400, 403."""
    refuse_nodes(user)
    namespace, name = asked.get("namespace") or None, asked.get("name") or None
    if words := asked.get("resource"):
        chosen = tuple(_named(word) for word in words.split(","))
        for one in chosen:
            require_list(store, user, one, namespace)
        return Scope(chosen, namespace, name)
    if name is not None:
        raise ApiError(status.bad_request("name: Forbidden: is only allowed with a resource"))
    return Scope(
        tuple(
            one
            for one in scheme.all_resources()
            if one.key not in NOISE
            and (namespace is None or one.namespaced)
            and is_allowed(store, user, Action("list", one, namespace=namespace))
        ),
        namespace,
    )


def require_list(store: Store, user: User, resource: Resource, namespace: str | None) -> None:
    """ApiError 403."""
    action = Action("list", resource, namespace=namespace)
    if not is_allowed(store, user, action):
        raise ApiError(status.forbidden(resource, "", refusal(user, action)))


def _named(word: str) -> Resource:
    try:
        return scheme.resource(word.strip())
    except LookupError as error:
        raise ApiError(status.bad_request(f"resource: Invalid value: {error}")) from None
