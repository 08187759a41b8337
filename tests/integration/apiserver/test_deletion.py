"""DELETE: at once, with grace, behind finalizers, for dependents, for a whole collection."""

from __future__ import annotations

from tests.integration.apiserver.plain_http import (
    Api,
    a_config_map,
    a_new_deployment,
    a_new_pod,
    apps,
)


def a_bound_pod(api: Api, ns: str, **spec: object) -> str:
    api.post(f"{ns}/pods", a_new_pod("web", nodeName="n1", **spec))
    return f"{ns}/pods/web"


def test_most_kinds_answer_with_a_status(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/configmaps", a_config_map()).json
    done = api.delete(f"{ns}/configmaps/cm").json
    assert (done["kind"], done["status"]) == ("Status", "Success")
    assert done["details"] == {"name": "cm", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert api.get(f"{ns}/configmaps/cm").code == 404


def test_a_pod_that_no_node_has_seen_goes_at_once(api: Api, ns: str) -> None:
    api.post(f"{ns}/pods", a_new_pod())
    assert api.delete(f"{ns}/pods/web").json["kind"] == "Pod"
    assert api.get(f"{ns}/pods/web").code == 404


def test_a_bound_pod_gets_its_grace_period_which_may_only_shrink(api: Api, ns: str) -> None:
    path = a_bound_pod(api, ns, terminationGracePeriodSeconds=20)
    marked = api.delete(path).json["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 20
    assert api.delete(path, {"gracePeriodSeconds": 60}).json["metadata"] == marked
    shorter = api.delete(path, {"gracePeriodSeconds": 5}).json["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < marked["deletionTimestamp"]
    api.delete(f"{path}?gracePeriodSeconds=0")
    assert api.get(path).code == 404


def test_a_finalizer_keeps_an_object_until_it_is_taken_off(api: Api, ns: str) -> None:
    obj = a_config_map()
    obj["metadata"]["finalizers"] = ["example.org/hold"]
    api.post(f"{ns}/configmaps", obj)
    held = api.delete(f"{ns}/configmaps/cm")
    assert (held.code, held.json["kind"]) == (200, "ConfigMap")
    assert held.json["metadata"]["deletionTimestamp"]
    with api.watch(f"{ns}/configmaps", f"resourceVersion={api.revision()}") as watch:
        assert api.patch(f"{ns}/configmaps/cm", {"metadata": {"finalizers": None}}).code == 200
        assert watch.take(1) == [("DELETED", "cm")]
    assert api.get(f"{ns}/configmaps/cm").code == 404


def test_propagation_is_left_to_the_garbage_collector_as_finalizers(api: Api, ns: str) -> None:
    path = f"{apps(ns)}/deployments"
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        api.post(path, a_new_deployment(policy.lower()))
        marked = api.delete(f"{path}/{policy.lower()}", {"propagationPolicy": policy}).json
        assert marked["metadata"]["finalizers"] == [finalizer]
    api.delete(f"{path}/orphan", {"propagationPolicy": "Background"})
    assert api.get(f"{path}/orphan").code == 404
    assert api.delete(f"{path}/foreground", {"propagationPolicy": "Sideways"}).code == 422


def test_preconditions_name_the_object_that_is_meant(api: Api, ns: str) -> None:
    made = api.post(f"{ns}/configmaps", a_config_map()).json["metadata"]
    refused = api.delete(f"{ns}/configmaps/cm", {"preconditions": {"uid": "other"}})
    assert refused.code == 409
    assert "Precondition failed: UID in precondition: other" in refused.message
    assert (
        api.delete(f"{ns}/configmaps/cm", {"preconditions": {"resourceVersion": "1"}}).code == 409
    )
    assert api.delete(f"{ns}/configmaps/cm", {"preconditions": {"uid": made["uid"]}}).code == 200


def test_a_collection_is_deleted_by_selector(api: Api, ns: str) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        api.post(f"{ns}/configmaps", a_config_map(name, {"color": color}))
    done = api.delete(f"{ns}/configmaps?labelSelector=color%3Dred")
    assert done.names == ["a", "c"]
    assert api.get(f"{ns}/configmaps").names == ["b"]


def test_a_namespace_waits_for_its_finalizer(api: Api, ns: str) -> None:
    name = ns.rsplit("/", 1)[1]
    marked = api.delete(ns).json
    assert marked["status"]["phase"] == "Terminating"
    refused = api.post(f"{ns}/configmaps", a_config_map())
    assert (refused.code, refused.json["details"]["causes"][0]["reason"]) == (
        403,
        "NamespaceTerminating",
    )
    assert (
        f"unable to create new content in namespace {name} because it is being terminated"
        in refused.message
    )
    namespace = api.get(ns).json
    namespace["spec"] = {"finalizers": []}
    assert api.put(f"{ns}/finalize", namespace).code == 200
    assert api.get(ns).code == 404


def test_the_first_namespaces_are_immortal(api: Api) -> None:
    refused = api.delete("/api/v1/namespaces/kube-system")
    assert (refused.code, refused.message) == (
        403, 'namespaces "kube-system" is forbidden: this namespace may not be deleted',
    )  # fmt: skip


def test_an_eviction_is_a_graceful_delete(api: Api, ns: str) -> None:
    path = a_bound_pod(api, ns)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"},
                "deleteOptions": {"gracePeriodSeconds": 7}}  # fmt: skip
    assert api.post(f"{path}/eviction", eviction).json["status"] == "Success"
    assert api.get(path).json["metadata"]["deletionGracePeriodSeconds"] == 7


def test_a_dry_run_deletes_nothing(api: Api, ns: str) -> None:
    api.post(f"{ns}/configmaps", a_config_map())
    assert api.delete(f"{ns}/configmaps/cm?dryRun=All").code == 200
    assert api.delete(f"{ns}/configmaps/cm", {"dryRun": ["All"]}).code == 200
    assert api.get(f"{ns}/configmaps/cm").code == 200
