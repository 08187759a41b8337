"""The official Python client, unmodified."""

from __future__ import annotations

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.support.namespaced import Namespaced, a_sleeper, a_web_deployment

pytestmark = pytest.mark.filterwarnings("default")  # the client's own warnings are not ours


@pytest.fixture
def api(ns: Namespaced) -> client.ApiClient:
    with config.new_client_from_config(str(ns.cluster.kubeconfig)) as api:
        yield api


def test_create_list_watch_and_delete(ns: Namespaced, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(ns.name, a_sleeper())
    listed = core.list_namespaced_pod(ns.name)
    assert [p.metadata.name for p in listed.items] == ["web"]
    version = listed.metadata.resource_version
    phases = []
    for event in watch.Watch().stream(
        core.list_namespaced_pod, ns.name, resource_version=version, timeout_seconds=30
    ):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Running":
            break
    assert phases[-1] == "Running"
    core.delete_namespaced_pod("web", ns.name, grace_period_seconds=0)
    ns.wait("pod/web", "delete")


def test_a_stale_update_is_a_conflict(ns: Namespaced, api: client.ApiClient) -> None:
    apps = client.AppsV1Api(api)
    made = apps.create_namespaced_deployment(ns.name, a_web_deployment(replicas=1))
    apps.patch_namespaced_deployment_scale("web", ns.name, {"spec": {"replicas": 2}})
    made.spec.replicas = 5
    with pytest.raises(ApiException) as caught:
        apps.replace_namespaced_deployment("web", ns.name, made)
    assert caught.value.status == 409
    assert "the object has been modified" in caught.value.body
