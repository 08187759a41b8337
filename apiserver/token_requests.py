"""`serviceaccounts/NAME/token`: a token on request, as kubelets and `kubectl create token` ask for.

Room apiserver; called by subresources.py. Nothing is stored.
Source: Kubernetes' `pkg/registry/core/serviceaccount/storage/token.go` and the admission plugin
NodeRestriction, v1.32.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from apiserver import bodies
from apiserver.authorization import node_of
from apiserver.errors import ApiError
from apiserver.request_info import Call
from apiserver.service_account_tokens import ServiceAccountTokens
from apiserver.verbs import Reply, Verbs, reply_object
from podium.api import meta, status
from podium.api.scheme import Resource, resource
from podium.api.status import Cause

Object = dict[str, Any]

_REQUEST = Resource("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", "tokenrequest")
_DEFAULT_S, _LEAST_S, _MOST_S = 3600, 600, 1 << 32
_BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}


class TokenRequests:
    """Answers creations of the subresource `token`."""

    def __init__(self, verbs: Verbs, tokens: ServiceAccountTokens) -> None:
        self._verbs, self._tokens = verbs, tokens

    def create(self, call: Call) -> Reply:
        request = bodies.read_object(call, "authentication.TokenRequest")
        bodies.check_type(request, _REQUEST)
        account = self._verbs.find(call).object
        spec = request.setdefault("spec", {})
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = _DEFAULT_S
        _check_lifetime(account, spec["expirationSeconds"])
        bound = list(self._bound(call, account, spec.get("boundObjectRef")))
        _check_node(call, bound, spec.get("boundObjectRef"))
        token, ends = self._tokens.issue(
            account, spec.get("audiences") or [], spec["expirationSeconds"], bound
        )
        until = meta.now(datetime.fromtimestamp(ends, UTC))
        request["status"] = {"token": token, "expirationTimestamp": until}
        names = {key: account["metadata"][key] for key in ("name", "namespace")}
        request["metadata"] = {**names, "creationTimestamp": meta.now()}
        return reply_object(201, request)

    def _bound(self, call: Call, account: Object, reference: Object | None) -> Iterator[Object]:
        """What the token shall end with; a Pod's Node is noted beside it."""
        if reference is None:
            return
        named = (reference.get("apiVersion") or "v1", reference.get("kind", ""))
        plural = _BINDABLE.get(named)
        if plural is None:
            why = f"cannot bind token to object of type {named[0]}, Kind={named[1]}"
            raise ApiError(status.bad_request(why))
        namespace = "" if plural == "nodes" else call.key_namespace
        kind, name = resource(plural), reference.get("name", "")
        obj = self._verbs.find_named(kind, namespace, name).object
        uid = reference.get("uid")
        if uid and uid != obj["metadata"]["uid"]:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                f"The object might have been deleted and then recreated"
            )
            raise ApiError(status.conflict(kind, name, why))
        yield {**obj, "kind": named[1]}
        if plural == "pods":
            yield from self._node_of(account, obj)

    def _node_of(self, account: Object, pod: Object) -> Iterator[Object]:
        own, wanted = pod["spec"].get("serviceAccountName"), account["metadata"]["name"]
        if own != wanted:
            why = (
                f'cannot bind token for serviceaccount "{wanted}" to pod running with different '
                f"serviceaccount name."
            )
            raise ApiError(status.bad_request(why))
        node = self._verbs.store.get("nodes", "", pod["spec"].get("nodeName") or "")
        if node is not None:
            yield {**node.object, "kind": "Node"}


def _check_lifetime(account: Object, seconds: int) -> None:
    path, why = "spec.expirationSeconds", None
    if seconds < _LEAST_S:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _MOST_S:
        why = "may not specify a duration larger than 2^32 seconds"
    if why is not None:
        cause = Cause(path, f"Invalid value: {seconds}: {why}", "FieldValueInvalid")
        raise ApiError(status.invalid(_REQUEST, account["metadata"]["name"], [cause]))


def _check_node(call: Call, bound: list[Object], reference: Object | None) -> None:
    """A kubelet gets tokens for the Pods that it runs and no others."""
    node = node_of(call.user)
    if node is None:
        return
    why = None
    if not bound or bound[0]["kind"] != "Pod":
        why = "node requested token not bound to a pod"
    elif not (reference or {}).get("uid"):
        why = "node requested token with a pod binding without a uid"
    elif bound[0]["spec"].get("nodeName") != node:
        why = "node requested token bound to a pod scheduled on a different node"
    if why is not None:
        raise ApiError(status.forbidden(call.resource, call.required_name(), why))
