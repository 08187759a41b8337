"""Questions about oneself (`kubectl auth whoami`, `auth can-i`) and about a token.
Room apiserver; called by routes.py.

Reviews are created, answered and never stored.
"""

from __future__ import annotations

from typing import Any

from apiserver import bodies
from apiserver.authorization import Action, is_allowed, refusal
from apiserver.errors import ApiError
from apiserver.request_info import Call
from apiserver.service_account_tokens import API_AUDIENCES, ServiceAccountTokens
from apiserver.storage import Store
from apiserver.token_signer import BadToken
from apiserver.verbs import Reply, reply_object
from podium.api import meta, status
from podium.api.scheme import Resource, all_resources

Object = dict[str, Any]


def review(store: Store, tokens: ServiceAccountTokens, call: Call) -> Reply:
    """Answer a selfsubjectreview, selfsubjectaccessreview or tokenreview."""
    resource = call.resource
    if call.verb != "create":
        raise ApiError(status.method_not_allowed(resource))
    obj = bodies.read_object(call, resource.kind)
    bodies.check_type(obj, resource)
    if resource.plural == "selfsubjectreviews":
        obj["metadata"] = {"creationTimestamp": meta.now()}
        obj["status"] = {"userInfo": call.user.to_json()}
    elif resource.plural == "tokenreviews":
        obj["metadata"] = {"creationTimestamp": None}
        obj["status"] = _identity(tokens, obj.get("spec") or {})
    else:
        obj["metadata"] = {"creationTimestamp": None}
        obj["status"] = _verdict(store, call, obj.get("spec") or {})
    return reply_object(201, obj)


def _identity(tokens: ServiceAccountTokens, spec: Object) -> Object:
    """Whose token it is, for one of the audiences that are asked about."""
    if not spec.get("token"):
        raise ApiError(status.bad_request("token is required for TokenReview in authentication"))
    try:
        user, audiences = tokens.authenticate(spec["token"], spec.get("audiences") or API_AUDIENCES)
    except BadToken as error:
        return {"user": {}, "error": str(error)}
    return {"authenticated": True, "user": user.to_json(), "audiences": audiences}


def _verdict(store: Store, call: Call, spec: Object) -> Object:
    wanted = spec.get("resourceAttributes")
    if wanted is None:
        return {"allowed": True}  # every path that is no resource is open to who is authenticated
    action = Action(
        verb=wanted.get("verb", ""),
        resource=_resource(wanted),
        subresource=wanted.get("subresource") or None,
        namespace=wanted.get("namespace") or None,
        name=wanted.get("name") or None,
    )
    if is_allowed(store, call.user, action):
        return {"allowed": True, "reason": "the cluster's fixed table allows it"}
    return {"allowed": False, "reason": refusal(call.user, action)}


def _resource(wanted: Object) -> Resource:
    group, plural = wanted.get("group", ""), wanted.get("resource", "")
    for known in all_resources():
        if (known.group, known.plural) == (group, plural):
            return known
    return Resource(group, wanted.get("version", ""), plural, plural, plural)
