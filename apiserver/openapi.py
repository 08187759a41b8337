"""OpenAPI v3 and v2, made from the schema table. Pure functions of the API server.

kubectl needs from it: for each kind a PATCH operation with its group-version-kind and a
`fieldValidation` parameter (then it leaves validation to the server), and component schemas for
`explain`. Descriptions are not ours to copy, so `explain` shows structure alone.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from apiserver import discovery
from podium.api.schema import Field, group_of, has_structure, structure
from podium.api.scheme import Resource, all_resources

Body = dict[str, Any]

_SCALARS: dict[str, Body] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "uint8": {"type": "integer", "format": "byte"},
    "byte": {"type": "integer", "format": "byte"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "any": {},
    "Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "IntOrString": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    "Time": {"type": "string", "format": "date-time"},
    "MicroTime": {"type": "string", "format": "date-time"},
    "RawExtension": {"type": "object"},
    "StringList": {"type": "array", "items": {"type": "string"}},
    "FieldsV1": {"type": "object"},
}
_NAMED_SCALARS = {
    "Quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "IntOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "Time": "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "MicroTime": "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
}
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def _component(struct_name: str) -> str:
    """The name that Kubernetes gives a type in its OpenAPI documents."""
    if struct_name in _NAMED_SCALARS:
        return _NAMED_SCALARS[struct_name]
    group, bare = group_of(struct_name), struct_name.rpartition(".")[2]
    if group == "meta":
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{bare}"
    return f"io.k8s.api.{group}.v1.{bare}"


class _Builder:
    """One document's schemas, collected as they are referred to."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.schemas: dict[str, Body] = {}

    def reference(self, struct_name: str) -> Body:
        name = _component(struct_name)
        if name not in self.schemas:
            self.schemas[name] = {}  # before descending: types may be recursive
            self.schemas[name] = (
                dict(_SCALARS[struct_name])
                if struct_name in _SCALARS
                else self._object(struct_name)
            )
        return {"$ref": f"{self.prefix}{name}"}

    def _object(self, struct_name: str) -> Body:
        table = structure(struct_name)
        body: Body = {
            "type": "object",
            "properties": {name: self.field(f) for name, f in table.fields.items()},
        }
        required = [name for name, f in table.fields.items() if f.is_required]
        if required:
            body["required"] = required
        return body

    def kind(self, resource: Resource) -> Body:
        """A kind's own schema: its fields with apiVersion and kind in front."""
        reference = self.reference(resource.kind)
        body = self.schemas[_component(resource.kind)]
        body["properties"] = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            **body["properties"],
        }
        body["x-kubernetes-group-version-kind"] = [gvk(resource)]
        return reference

    def field(self, f: Field) -> Body:
        item = self.element(f)
        if f.is_list:
            body: Body = {"type": "array", "items": item}
            body["x-kubernetes-list-type"] = f.list_type
            if f.list_map_keys:
                body["x-kubernetes-list-map-keys"] = list(f.list_map_keys)
        elif f.is_map:
            body = {"type": "object", "additionalProperties": item}
        elif "$ref" in item and (f.patch_strategies or f.is_atomic):
            body = {"allOf": [item]}
        else:
            body = dict(item)
        if f.patch_strategies:
            body["x-kubernetes-patch-strategy"] = ",".join(f.patch_strategies)
        if f.patch_merge_key:
            body["x-kubernetes-patch-merge-key"] = f.patch_merge_key
        if f.is_atomic:
            body["x-kubernetes-map-type"] = "atomic"
        return body

    def element(self, f: Field) -> Body:
        if f.is_struct or f.kind in _NAMED_SCALARS:
            return self.reference(f.kind)
        body = dict(_SCALARS[f.kind])
        if f.enum:
            body["enum"] = list(f.enum)
        return body


def gvk(resource: Resource) -> Body:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _query(name: str) -> Body:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def _paths(resource: Resource, reference: Body) -> dict[str, Body]:
    """Collection and object with the operations that kubectl looks for."""
    answer = {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}}
    base = resource.path("{namespace}" if resource.namespaced else None)
    one = f"{base}/{{name}}"
    kind = {"x-kubernetes-group-version-kind": gvk(resource)}

    def operation(action: str, *query: str, **more: Any) -> Body:
        return {
            "operationId": f"{action}{resource.group.title().replace('.', '')}V1{resource.kind}",
            "parameters": [_query(q) for q in query],
            "responses": answer,
            "x-kubernetes-action": action,
            **kind,
            **more,
        }

    body = {"requestBody": {"content": {"*/*": {"schema": reference}}, "required": True}}
    patch = {"requestBody": {"content": {t: {"schema": {"type": "object"}} for t in _PATCH_TYPES}}}
    writes = ("dryRun", "fieldManager", "fieldValidation")
    paths: dict[str, Body] = {}
    if "create" in resource.verbs:
        paths[base] = {
            "get": operation("list", "labelSelector", "fieldSelector", "limit", "continue"),
            "post": operation("post", *writes, **body),
        }
    if "get" in resource.verbs:
        paths[one] = {
            "get": operation("get"),
            "put": operation("put", *writes, **body),
            "patch": operation("patch", *writes, "force", **patch),
            "delete": operation("delete", "dryRun", "gracePeriodSeconds", "propagationPolicy"),
        }
    return paths


def _stored(group: str, version: str) -> list[Resource]:
    return [
        r
        for r in all_resources()
        if (r.group, r.version) == (group, version) and has_structure(r.kind)
    ]


def _path_of(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


@cache
def openapi_v3(path: str) -> bytes | None:
    """The document of "api/v1" or "apis/apps/v1"; None when there is none."""
    for group, version in discovery.groups():
        if _path_of(group, version) == path:
            break
    else:
        return None
    builder = _Builder("#/components/schemas/")
    paths: dict[str, Body] = {}
    for resource in _stored(group, version):
        paths |= _paths(resource, builder.kind(resource))
    return json.dumps({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "components": {"schemas": builder.schemas},
    }, separators=(",", ":")).encode()  # fmt: skip


@cache
def openapi_v3_index() -> bytes:
    """/openapi/v3: where each group's document is, with its hash."""
    paths = {}
    for group, version in discovery.groups():
        path = _path_of(group, version)
        digest = hashlib.sha256(openapi_v3(path) or b"").hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return json.dumps({"paths": paths}).encode()


@cache
def openapi_v2() -> bytes:
    """/openapi/v2, for older clients."""
    paths: dict[str, Body] = {}
    definitions: dict[str, Body] = {}
    for group, version in discovery.groups():
        builder = _Builder("#/definitions/")
        for resource in _stored(group, version):
            reference = builder.kind(resource)
            for path, item in _paths(resource, reference).items():
                paths[path] = {
                    verb: _v2_operation(operation, reference) for verb, operation in item.items()
                }
        definitions |= builder.schemas
    for name, scalar in (("Quantity", "string"), ("IntOrString", "string")):
        definitions[_NAMED_SCALARS[name]] = {"type": scalar}
    document = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "definitions": definitions,
    }
    return json.dumps(document, separators=(",", ":")).encode()


# As clients ask for it; with the "@", which no media type may have, replaced in the answer.
PROTOBUF_V2_WANTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PROTOBUF_V2 = PROTOBUF_V2_WANTED.replace("@", ".")


def openapi_v2_protobuf() -> bytes:
    """/openapi/v2 for kubectl, which asks for it in protobuf alone, and only when the v3 documents
    do not have the kind it wants: then no document of ours does, so this one names no path. Message
    Document {1: swagger, 2: Info {1: title, 2: version}} of gnostic's `OpenAPIv2.proto`.
    """

    def text(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    return text(1, b"2.0") + text(2, text(1, b"Kubernetes") + text(2, b"v1.32.0"))


def _v2_operation(operation: Body, reference: Body) -> Body:
    parameters = [
        {"name": p["name"], "in": "query", "type": "string"} for p in operation["parameters"]
    ]
    if "requestBody" in operation:
        parameters.append({"name": "body", "in": "body", "required": True, "schema": reference})
    return {
        **{
            k: v
            for k, v in operation.items()
            if k not in ("parameters", "requestBody", "responses")
        },
        "parameters": parameters,
        "consumes": list(_PATCH_TYPES) if operation["x-kubernetes-action"] == "patch" else ["*/*"],
        "produces": ["application/json"],
        "responses": {"200": {"description": "OK", "schema": reference}},
    }
