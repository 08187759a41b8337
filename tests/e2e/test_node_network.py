"""A Pod's bandwidth and its ports of the node, set with kubectl, read from the kernel."""

from __future__ import annotations

import socket
from typing import Any

from kubelet.network import Bandwidth
from tests.node.network.test_bandwidth import rates
from tests.support.namespaced import Namespaced, a_script, a_sleeper

SERVER = "exec python3 -m http.server --directory /etc 80"
PORT = 18080


def a_server(name: str, **port: Any) -> dict[str, Any]:
    return a_script(name, SERVER, ports=[{"containerPort": 80, **port}])


def test_bandwidth_follows_the_annotations(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["metadata"]["annotations"] = {"kubernetes.io/egress-bandwidth": "10M"}
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    uid = ns.get("pod", "web")["metadata"]["uid"]
    assert rates(uid) == Bandwidth(egress=10_000_000)
    wanted = ["kubernetes.io/egress-bandwidth-", "kubernetes.io/ingress-bandwidth=5M"]
    ns.kubectl("annotate", "pod", "web", *wanted)
    ns.cluster.until(lambda: rates(uid) == Bandwidth(ingress=5_000_000))


def test_an_unreasonable_bandwidth_keeps_the_pod_from_starting(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["metadata"]["annotations"] = {"kubernetes.io/ingress-bandwidth": "1"}
    ns.apply(pod)
    said = "resource is unreasonably small (< 1kbit)"
    ns.cluster.until(lambda: said in ns.out("describe", "pod", "web"))
    assert ns.get("pod", "web")["status"]["phase"] == "Pending"


def test_a_host_port_leads_to_the_pod_and_is_free_after_it(ns: Namespaced) -> None:
    ns.apply(a_server("web", hostPort=PORT), a_server("late", hostPort=PORT))
    ns.wait("pod/web", "condition=Ready")
    ns.cluster.until(lambda: "web" in asked())
    assert "didn't have free ports" in ns.out("describe", "pod", "late")
    ns.kubectl("delete", "pod", "web", "--now")
    ns.wait("pod/late", "condition=Ready")
    ns.cluster.until(lambda: "late" in asked())


def asked() -> str:
    """/etc/hostname of whoever serves the port."""
    try:
        with socket.create_connection(("127.0.0.1", PORT), 5) as connection:
            connection.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            with connection.makefile("rb") as answer:
                return answer.read().decode()
    except OSError:
        return ""
