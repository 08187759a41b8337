"""What stands behind an object's name: scale, binding, eviction, finalize, token. Room apiserver.

Called by routes.py. `status` and `resize` need nothing here: they are updates of one part
(strategies.py).
`log`, `exec`, `attach` and `proxy` are in kubelet_proxy.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from apiserver import bodies, wire
from apiserver.errors import ApiError, Conflicted
from apiserver.request_info import Call
from apiserver.service_account_tokens import ServiceAccountTokens
from apiserver.storage import Record
from apiserver.token_requests import TokenRequests
from apiserver.validation import validate_binding, validate_scale
from apiserver.verbs import RETRIES, Reply, Verbs, reply_object
from podium.api import meta, selectors, status
from podium.api.scheme import Resource

Object = dict[str, Any]

SUCCESS: Object = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
_SCALE = Resource("autoscaling", "v1", "Scale", "scales", "scale")
_BINDING = Resource("", "v1", "Binding", "bindings", "binding")
_EVICTION = Resource("policy", "v1", "Eviction", "evictions", "eviction")


class Subresources:
    """One per server. `handle(call)` answers; ApiError 405 for a verb that a subresource lacks."""

    def __init__(self, verbs: Verbs, tokens: ServiceAccountTokens) -> None:
        self._verbs = verbs
        self._handlers: dict[tuple[str, str], Callable[[Call], Reply]] = {
            ("status", "get"): verbs.get,
            ("status", "update"): verbs.update,
            ("status", "patch"): verbs.patch,
            ("resize", "get"): verbs.get,
            ("resize", "update"): verbs.update,
            ("resize", "patch"): verbs.patch,
            ("scale", "get"): self._get_scale,
            ("scale", "update"): self._put_scale,
            ("scale", "patch"): self._patch_scale,
            ("binding", "create"): self._bind,
            ("eviction", "create"): self._evict,
            ("finalize", "update"): verbs.update,
            ("ephemeralcontainers", "get"): verbs.get,
            ("ephemeralcontainers", "update"): verbs.update,
            ("ephemeralcontainers", "patch"): verbs.patch,
            ("token", "create"): TokenRequests(verbs, tokens).create,
        }

    def handle(self, call: Call) -> Reply:
        handler = self._handlers.get((call.subresource or "", call.verb))
        if handler is None:
            raise ApiError(status.method_not_allowed(call.resource))
        return handler(call)

    # ---- scale ------------------------------------------------------------------------------

    def _get_scale(self, call: Call) -> Reply:
        return reply_object(200, scale_of(self._verbs.find(call)))

    def _put_scale(self, call: Call) -> Reply:
        scale = bodies.read_object(call, "Scale")
        bodies.check_type(scale, _SCALE)
        name = call.required_name()
        said = (scale.get("metadata") or {}).get("name") or name
        if said != name:
            raise ApiError(
                status.bad_request(
                    f"the name of the object ({said}) does not match the name on the URL ({name})"
                )
            )
        return self._set_scale(call, lambda _current: scale)

    def _patch_scale(self, call: Call) -> Reply:
        patch = self._verbs.read_patch(call)

        def change(current: Object) -> Object:
            scale = patch(current, "Scale")
            bodies.check(call, scale, "Scale", validation=bodies.field_validation(call))
            return scale

        return self._set_scale(call, change)

    def _set_scale(self, call: Call, change: Callable[[Object], Object]) -> Reply:
        """Write the replicas that `change` wants; again when another writer was faster."""
        for _ in range(RETRIES):
            record = self._verbs.find(call)
            scale = change(scale_of(record))
            said = (scale.get("metadata") or {}).get("resourceVersion")
            if said and said != str(record.rv):
                raise ApiError(status.conflict(call.resource, record.name))
            causes = validate_scale(scale)
            if causes:
                raise ApiError(status.invalid(_SCALE, record.name, causes))
            obj = wire.parse(record.body)
            obj.setdefault("spec", {})["replicas"] = (scale.get("spec") or {}).get("replicas", 0)
            try:
                stored = self._verbs.change(replace(call, subresource=None), obj, record)
            except Conflicted:
                continue
            return reply_object(200, scale_of(stored))
        raise ApiError(status.conflict(call.resource, call.required_name()))

    # ---- binding and eviction ---------------------------------------------------------------

    def _bind(self, call: Call) -> Reply:
        """The scheduler's word: this Pod runs on that node."""
        binding = bodies.read_object(call, "Binding")
        bodies.check_type(binding, _BINDING)
        causes = validate_binding(binding)
        name = call.required_name()
        if causes:
            raise ApiError(status.invalid(_BINDING, name, causes))
        for _ in range(RETRIES):
            record = self._verbs.find(call)
            pod = wire.parse(record.body)
            self._check_bindable(call, pod, binding)
            _assign(pod, binding)
            try:
                self._verbs.store_version(call, pod, record)
            except Conflicted:
                continue
            return reply_object(201, SUCCESS)
        raise ApiError(status.conflict(call.resource, name))

    def _check_bindable(self, call: Call, pod: Object, binding: Object) -> None:
        name = pod["metadata"]["name"]
        uid = (binding.get("metadata") or {}).get("uid")
        if uid and uid != pod["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{pod['metadata']['uid']}"
            )
            raise ApiError(_binding_conflict(name, why))
        if pod["metadata"].get("deletionTimestamp"):
            raise ApiError(
                _binding_conflict(
                    name, f"pod {name} is being deleted, cannot be assigned to a host"
                )
            )
        node = pod["spec"].get("nodeName")
        if node:
            raise ApiError(
                _binding_conflict(name, f'pod {name} is already assigned to node "{node}"')
            )

    def _evict(self, call: Call) -> Reply:
        eviction = bodies.read_object(call, "Eviction")
        bodies.check_type(eviction, _EVICTION)
        options = eviction.get("deleteOptions") or {}
        if options.get("dryRun"):
            call.query["dryRun"] = options["dryRun"][0]
        self._verbs.remove(call, call.key_namespace, call.required_name(), options)
        return reply_object(201, SUCCESS)


def scale_of(record: Record) -> Object:
    """The autoscaling/v1 Scale of a Deployment or ReplicaSet."""
    obj = record.object
    metadata = {
        name: obj["metadata"][name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in obj["metadata"]
    }
    spec, found = obj.get("spec") or {}, obj.get("status") or {}
    replicas = spec.get("replicas", 1)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": found.get("replicas", 0),
            "selector": str(selectors.from_dict(spec.get("selector"))),
        },
    }


def _assign(pod: Object, binding: Object) -> None:
    pod["spec"]["nodeName"] = binding["target"]["name"]
    given = binding.get("metadata") or {}
    for name in ("labels", "annotations"):
        if given.get(name):
            pod["metadata"][name] = {**(pod["metadata"].get(name) or {}), **given[name]}
    meta.set_condition(
        pod.setdefault("status", {}), "PodScheduled", "True", now=meta.now(), lastProbeTime=None
    )


def _binding_conflict(name: str, why: str) -> Object:
    message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
    return status.status(409, "Conflict", message, {"name": name, "kind": "pods/binding"})
