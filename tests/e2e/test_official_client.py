"""The official Python client, unmodified."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

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


@pytest.fixture
def core(api: client.ApiClient) -> Iterator[client.CoreV1Api]:
    """Its WebSockets are collected with the test: the client does not close them all."""
    yield client.CoreV1Api(api)
    gc.collect()


def test_exec_has_streams_and_an_exit_code(ns: Namespaced, core: client.CoreV1Api) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    words = ["sh", "-c", "read line; echo got $line; echo err >&2; exit 5"]
    session = stream(
        core.connect_get_namespaced_pod_exec, "web", ns.name, command=words, stdin=True,
        stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    session.write_stdin("hello\n")
    session.run_forever(timeout=30)
    assert (session.read_stdout(), session.read_stderr()) == ("got hello\n", "err\n")
    assert session.returncode == 5
    session.close()


REVERSE = (
    "import socket; s = socket.create_server(('127.0.0.1', 9000)); print('up', flush=True)\n"
    "while True:\n c, _ = s.accept(); c.sendall(c.recv(9)[::-1])"
)


def test_a_port_is_forwarded(ns: Namespaced, core: client.CoreV1Api) -> None:
    ns.apply(a_sleeper(command=["python3", "-c", REVERSE]))
    ns.cluster.until(lambda: ns.kubectl("logs", "web", check=False).stdout == "up\n")
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", ns.name, ports="9000")
    sock = forward.socket(9000)
    sock.sendall(b"desrever")
    assert sock.recv(100) == b"reversed"
    assert forward.error(9000) is None
    forward.close()
