"""Namespaces that end, and what every namespace gets, against the real API server."""

from __future__ import annotations

from typing import Any

from controllers.garbage_collector import GarbageCollector
from controllers.namespace import NamespaceController
from controllers.service_account import ServiceAccountController
from podium.api import meta
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_deployment, a_namespace, a_node, a_pod, a_replicaset
from tests.support.controllers import Room, running
from tests.support.waiting import eventually

Object = dict[str, Any]


def condition(room: Room, name: str, type_: str) -> Object:
    return meta.condition(room.client.get("namespaces", name), type_) or {}


def test_a_namespace_goes_with_all_that_is_in_it(server: ApiServerProcess) -> None:
    with running(server, NamespaceController, ServiceAccountController, GarbageCollector) as room:
        room.create("namespaces", a_namespace("lab"))
        deployment = room.create("deployments", a_deployment(namespace="lab"))
        room.create("replicasets", a_replicaset(namespace="lab", owner=deployment))
        room.create("pods", a_pod("web", "lab"))
        eventually(lambda: room.find("serviceaccounts", "default", "lab"))
        room.client.delete("namespaces", "lab")
        eventually(lambda: room.find("namespaces", "lab") is None)
        for kind in ("deployments", "replicasets", "pods", "serviceaccounts", "configmaps"):
            assert not room.list(kind, "lab")


def test_it_waits_for_pods_that_end_and_says_so(server: ApiServerProcess) -> None:
    with running(server, NamespaceController) as room:
        room.create("nodes", a_node("node-1"))
        room.create("namespaces", a_namespace("lab"))
        room.create("pods", a_pod("web", "lab", node="node-1"))
        room.client.delete("namespaces", "lab")
        remaining = "NamespaceContentRemaining"
        eventually(lambda: condition(room, "lab", remaining).get("status") == "True")
        assert "pods. has 1 resource instances" in condition(room, "lab", remaining)["message"]
        ending = room.client.get("pods", "web", "lab")["metadata"]
        assert ending["deletionTimestamp"]
        room.client.delete("pods", "web", "lab", grace_s=0)  # as the kubelet does at the end
        eventually(lambda: room.find("namespaces", "lab") is None)


def test_it_waits_for_finalizers_and_says_so(server: ApiServerProcess) -> None:
    with running(server, NamespaceController) as room:
        room.create("namespaces", a_namespace("lab"))
        held = {"finalizers": ["example.com/hold"]}
        room.create("pods", a_pod("web", "lab", meta=held))
        room.client.delete("namespaces", "lab")
        told = "NamespaceFinalizersRemaining"
        eventually(lambda: condition(room, "lab", told).get("status") == "True")
        assert "example.com/hold in 1 resource instances" in condition(room, "lab", told)["message"]
        room.client.patch("pods", "web", "lab", {"metadata": {"finalizers": None}})
        eventually(lambda: room.find("namespaces", "lab") is None)


def test_a_second_look_writes_nothing(server: ApiServerProcess) -> None:
    with running(server, NamespaceController) as room:
        room.create("nodes", a_node("node-1"))
        room.create("namespaces", a_namespace("lab"))
        room.create("pods", a_pod("web", "lab", node="node-1"))
        room.client.delete("namespaces", "lab")
        eventually(lambda: condition(room, "lab", "NamespaceContentRemaining"))
        before = room.revision()
        assert room.controllers[0].reconcile("lab") == 15
        assert room.controllers[0].reconcile("default") is None
        assert room.revision() == before
        room.client.delete("pods", "web", "lab", grace_s=0)
        eventually(lambda: room.find("namespaces", "lab") is None)


def test_every_namespace_has_an_account_and_the_ca(server: ApiServerProcess) -> None:
    with running(server, ServiceAccountController) as room:
        room.create("namespaces", a_namespace("lab2"))
        for namespace in ("default", "kube-system", "lab2"):
            eventually(lambda ns=namespace: room.find("serviceaccounts", "default", ns))
            found = eventually(lambda ns=namespace: room.find("configmaps", "kube-root-ca.crt", ns))
            assert found["data"] == {"ca.crt": (server.data_dir / "pki/ca.crt").read_text()}


def test_what_somebody_deletes_or_spoils_is_made_again(server: ApiServerProcess) -> None:
    with running(server, ServiceAccountController) as room:
        account = eventually(lambda: room.find("serviceaccounts", "default", "default")) or {}
        eventually(lambda: room.find("configmaps", "kube-root-ca.crt", "default"))
        room.client.delete("serviceaccounts", "default", "default")
        uid = account["metadata"]["uid"]

        def other() -> bool:
            found = room.find("serviceaccounts", "default", "default")
            return found is not None and found["metadata"]["uid"] != uid

        eventually(other)
        spoiled = {"data": {"ca.crt": "nonsense"}}
        room.client.patch("configmaps", "kube-root-ca.crt", "default", spoiled)

        def is_right() -> bool:
            found = room.client.get("configmaps", "kube-root-ca.crt", "default")
            return "BEGIN CERTIFICATE" in found["data"]["ca.crt"]

        eventually(is_right)
        eventually(lambda: caches_agree(room))
        before = room.revision()
        room.controllers[0].reconcile("default")
        assert room.revision() == before


def caches_agree(room: Room) -> bool:
    """Whether what was just written has come back through the watch."""
    cached = room.controllers[0]._config_maps.get("default/kube-root-ca.crt")
    accounts = room.controllers[0]._accounts.get("default/default")
    return bool(accounts) and "BEGIN" in ((cached or {}).get("data") or {}).get("ca.crt", "")


def test_a_namespace_of_many_pods_goes_when_the_last_one_has_ended(
    server: ApiServerProcess,
) -> None:
    with running(server, NamespaceController) as room:
        room.create("nodes", a_node("node-1"))
        room.create("namespaces", a_namespace("lab"))
        for number in range(30):
            room.create("pods", a_pod(f"web-{number}", "lab", node="node-1"))
        room.client.delete("namespaces", "lab")
        eventually(lambda: condition(room, "lab", "NamespaceContentRemaining"))
        for pod in room.list("pods", "lab"):
            room.client.delete("pods", pod["metadata"]["name"], "lab", grace_s=0)
        eventually(lambda: room.find("namespaces", "lab") is None, 5)
        assert room.controllers[0]._loop.reconciled < 10
