"""The OpenAPI documents hold together and have what kubectl looks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apiserver import discovery, openapi
from podium.api.scheme import all_resources

PREFIX = "#/components/schemas/"


def document(path: str) -> dict[str, Any]:
    body = openapi.openapi_v3(path)
    assert body is not None
    found: dict[str, Any] = json.loads(body)
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_leads_somewhere() -> None:
    for path in json.loads(openapi.openapi_v3_index())["paths"]:
        found = document(path)
        schemas = found["components"]["schemas"]
        assert {r.removeprefix(PREFIX) for r in references(found)} <= set(schemas)
    v2 = json.loads(openapi.openapi_v2())
    assert {r.removeprefix("#/definitions/") for r in references(v2)} <= set(v2["definitions"])


def test_the_index_names_every_group_with_a_hash_of_its_document() -> None:
    paths = json.loads(openapi.openapi_v3_index())["paths"]
    assert len(paths) == len(discovery.groups())
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert openapi.openapi_v3("apis/widgets/v1") is None


@pytest.mark.parametrize("resource", all_resources(), ids=lambda r: r.key)
def test_kubectl_finds_the_patch_operation_that_lets_it_leave_validation_to_the_server(
    resource: Any,
) -> None:
    found = document(resource.path_prefix.strip("/"))
    item = found["paths"][resource.path("{namespace}" if resource.namespaced else None, "{name}")]
    patch = item["patch"]
    assert patch["x-kubernetes-group-version-kind"] == openapi.gvk(resource)
    assert "fieldValidation" in [p["name"] for p in patch["parameters"]]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_a_pod_spec_can_be_explained_and_merged() -> None:
    schemas = document("api/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    containers = spec["properties"]["containers"]
    assert spec["required"] == ["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["items"]["$ref"] == f"{PREFIX}io.k8s.api.core.v1.Container"
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "Pod"}]
    assert {"apiVersion", "kind", "metadata", "spec", "status"} <= set(pod["properties"])
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert meta in schemas


def test_types_keep_the_group_they_belong_to() -> None:
    schemas = document("apis/apps/v1")["components"]["schemas"]
    assert "io.k8s.api.apps.v1.DeploymentSpec" in schemas
    assert "io.k8s.api.core.v1.PodTemplateSpec" in schemas
    lease = document("apis/coordination.k8s.io/v1")["components"]["schemas"]
    assert "io.k8s.api.coordination.v1.LeaseSpec" in lease
