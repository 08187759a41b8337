"""Create, read, update, patch: what each does to an object and to its revision."""

from __future__ import annotations

import re

import pytest

from tests.integration.apiserver.plain_http import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Api,
    a_config_map,
    a_new_deployment,
    a_new_pod,
    apps,
)


def test_what_is_created_is_read_back_byte_for_byte(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/configmaps", a_config_map(a="1"))
    assert made.code == 201
    assert made.json["metadata"]["resourceVersion"] == str(api.revision())
    assert api.get(f"{ns}/configmaps/cm").raw == made.raw


def test_a_name_is_taken_once(api: Api, ns: str) -> None:
    api.post(f"{ns}/configmaps", a_config_map())
    again = api.post(f"{ns}/configmaps", a_config_map())
    assert (again.code, again.reason) == (409, "AlreadyExists")
    assert again.message == 'configmaps "cm" already exists'


def test_generate_name_makes_names(api: Api, ns: str) -> None:
    obj = a_config_map()
    obj["metadata"] = {"generateName": "run-"}
    names = {api.post(f"{ns}/configmaps", obj).json["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(re.fullmatch(r"run-[a-z0-9]{5}", name) for name in names)


def test_an_update_needs_the_current_revision(api: Api, ns: str) -> None:
    first = api.post(f"{ns}/configmaps", a_config_map(a="1")).json
    assert api.put(f"{ns}/configmaps/cm", {**first, "data": {"a": "2"}}).code == 200
    late = api.put(f"{ns}/configmaps/cm", {**first, "data": {"a": "3"}})
    assert (late.code, late.reason) == (409, "Conflict")
    assert late.message == (
        'Operation cannot be fulfilled on configmaps "cm": the object has been modified; please '
        "apply "
        "your changes to the latest version and try again"
    )


def test_an_update_that_changes_nothing_makes_no_revision(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/configmaps", a_config_map(a="1")).json
    before = api.revision()
    assert api.put(f"{ns}/configmaps/cm", made).json == made
    assert api.patch(f"{ns}/configmaps/cm", {"data": {"a": "1"}}).json == made
    assert api.revision() == before


def test_an_update_of_what_is_not_there_is_not_found_but_a_lease_is_made(api: Api, ns: str) -> None:
    assert api.put(f"{ns}/configmaps/cm", a_config_map()).code == 404
    leases = ns.replace("/api/v1", "/apis/coordination.k8s.io/v1") + "/leases"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {},
    }
    assert api.put(f"{leases}/l", lease).code == 201
    refused = api.put(f"{leases}/l", lease)
    assert (
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
        in refused.message
    )


def test_status_and_spec_have_writers_of_their_own(api: Api, ns: str) -> None:
    deployments = f"{apps(ns)}/deployments"
    api.post(deployments, a_new_deployment())
    both = {"spec": {"replicas": 7}, "status": {"replicas": 5}}
    main = api.patch(f"{deployments}/web", both).json
    assert (main["spec"]["replicas"], main["status"]) == (7, {})
    status = api.patch(
        f"{deployments}/web/status", {"spec": {"replicas": 9}, "status": {"replicas": 5}}
    ).json
    assert (status["spec"]["replicas"], status["status"]) == (7, {"replicas": 5})


def test_a_generation_counts_changes_of_the_spec(api: Api, ns: str) -> None:
    path = f"{apps(ns)}/deployments/web"
    assert (
        api.post(f"{apps(ns)}/deployments", a_new_deployment()).json["metadata"]["generation"] == 1
    )
    assert api.patch(path, {"metadata": {"labels": {"a": "b"}}}).json["metadata"]["generation"] == 1
    assert api.patch(path, {"spec": {"replicas": 3}}).json["metadata"]["generation"] == 2
    assert (
        api.patch(f"{path}/status", {"status": {"replicas": 1}}).json["metadata"]["generation"] == 2
    )


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (MERGE, {"data": {"a": None, "b": "2"}}),
        (STRATEGIC, {"data": {"a": None, "b": "2"}}),
        (
            JSON_PATCH,
            [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
        ),
    ],
)
def test_each_kind_of_patch(api: Api, ns: str, content_type: str, patch: object) -> None:
    api.post(f"{ns}/configmaps", a_config_map(a="1"))
    assert api.patch(f"{ns}/configmaps/cm", patch, content_type).json["data"] == {"b": "2"}


def test_a_patch_may_insist_on_a_revision(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/configmaps", a_config_map(a="1")).json["metadata"]["resourceVersion"]
    api.patch(f"{ns}/configmaps/cm", {"data": {"a": "2"}})
    late = api.patch(
        f"{ns}/configmaps/cm", {"metadata": {"resourceVersion": made}, "data": {"a": "3"}}
    )
    assert (late.code, late.reason) == (409, "Conflict")


def test_a_failed_json_patch_test_changes_nothing(api: Api, ns: str) -> None:
    api.post(f"{ns}/configmaps", a_config_map(a="1"))
    patch = [{"op": "test", "path": "/data/a", "value": "x"}, {"op": "remove", "path": "/data"}]
    assert api.patch(f"{ns}/configmaps/cm", patch, JSON_PATCH).code == 422
    assert api.get(f"{ns}/configmaps/cm").json["data"] == {"a": "1"}


def test_server_side_apply_is_refused_clearly(api: Api, ns: str) -> None:
    refused = api.patch(f"{ns}/configmaps/cm", a_config_map(), "application/apply-patch+yaml")
    assert refused.code == 415
    assert "use client-side apply" in refused.message


def test_a_dry_run_does_everything_but_write(api: Api, ns: str) -> None:
    before = api.revision()
    made = api.post(f"{ns}/pods?dryRun=All", a_new_pod())
    assert made.code == 201
    assert made.json["spec"]["serviceAccountName"] == "default"
    assert "resourceVersion" not in made.json["metadata"]
    assert api.get(f"{ns}/pods/web").code == 404
    assert api.revision() == before
    refused = api.post(f"{ns}/pods?dryRun=Some", a_new_pod())
    assert refused.code == 400


def test_a_pod_is_filled_in(api: Api, ns: str) -> None:
    pod = api.post(f"{ns}/pods", a_new_pod()).json
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["spec"]["priority"] == 0
    assert [t["key"] for t in pod["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]


def test_scale_is_a_view_of_replicas(api: Api, ns: str) -> None:
    path = f"{apps(ns)}/deployments"
    api.post(path, a_new_deployment(replicas=2))
    scale = api.get(f"{path}/web/scale").json
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    scale["spec"]["replicas"] = 5
    assert api.put(f"{path}/web/scale", scale).json["spec"] == {"replicas": 5}
    assert api.put(f"{path}/web/scale", scale).code == 409
    assert api.patch(f"{path}/web/scale", {"spec": {"replicas": 0}}).json["spec"] == {}
    assert api.get(f"{path}/web").json["spec"]["replicas"] == 0
    assert api.patch(f"{path}/web/scale", {"spec": {"replicas": -1}}).code == 422


def test_a_binding_gives_a_pod_its_node_once(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod())
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"},
               "target": {"kind": "Node", "name": "n1"}}  # fmt: skip
    assert api.post(f"{ns}/pods/web/binding", binding).code == 201
    pod = api.get(f"{ns}/pods/web").json
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["status"]["conditions"][0]["type"] == "PodScheduled"
    again = api.post(f"{ns}/pods/web/binding", binding)
    assert (again.code, again.reason) == (409, "Conflict")
    assert 'pod web is already assigned to node "n1"' in again.message


def test_a_pod_of_an_unknown_service_account_is_forbidden(api: Api, ns: str) -> None:
    refused = api.post(f"{ns}/pods", a_new_pod(serviceAccountName="ghost"))
    assert refused.code == 403
    assert 'serviceaccount "ghost" not found' in refused.message


def test_nothing_is_created_in_a_namespace_that_is_not_there(api: Api) -> None:
    refused = api.post("/api/v1/namespaces/ghost/pods", a_new_pod())
    assert (refused.code, refused.message) == (404, 'namespaces "ghost" not found')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"metadata": {"name": "other"}},
            "the name of the object (other) does not match the name on the URL (cm)",
        ),
        (
            {"metadata": {"name": "cm", "namespace": "x"}},
            "does not match the namespace sent on the request",
        ),
        ({"kind": "Secret"}, "cannot be handled as a ConfigMap"),
        ({"apiVersion": "v2"}, "does not match the expected API version"),
    ],
)
def test_the_body_must_be_what_the_url_says(api: Api, ns: str, change: dict, message: str) -> None:
    refused = api.put(f"{ns}/configmaps/cm", {**a_config_map(), **change})
    assert refused.code == 400
    assert message in refused.message
