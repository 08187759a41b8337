"""The page with a thousand Pods: an API server alone, Pods that no kubelet runs, a Chromium."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from podium.client.config import load_kubeconfig, ssl_context
from podium.client.http import Client
from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.browser import PHONE, WIDE, Keys, Page, chromium, is_there

pytestmark = [
    pytest.mark.skipif(not is_there(), reason="needs chromium and chromedriver (.ci/test-tools)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:selenium.*"),
]
PODS, NODES, DEPLOYMENTS = 1000, 8, 20
FRAME_MS = 60.0  # on a machine that does ten other things


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("cluster")) as server:
        client = server.client()
        owners = _workloads(client)
        _in_parallel(server, [_a_pod(number, owners) for number in range(PODS)])
        yield server


@pytest.fixture(scope="module")
def page(server: ApiServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        page.size(*WIDE)
        page.root = f"https://127.0.0.1:{server.port}"
        page.driver.get(_link(server))
        page.until(lambda: page.text("#connection") == "live")
        yield page


def _link(server: ApiServerProcess) -> str:
    context = ssl_context(load_kubeconfig(server.kubeconfig()))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)
    connection.request("POST", "/ui/login-links", body=b"{}")
    url = json.loads(connection.getresponse().read())["url"]
    connection.close()
    return str(url)


def _workloads(client: Client) -> list[dict[str, Any]]:
    """Nodes, Deployments and their ReplicaSets; owner references to the latter."""
    for number in range(NODES):
        client.create("nodes", {"apiVersion": "v1", "kind": "Node",
                                "metadata": {"name": f"node-{number}"}})  # fmt: skip
        ready = {"conditions": [{"type": "Ready", "status": "True"}],
                 "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "250"}}  # fmt: skip
        client.patch("nodes", f"node-{number}", None, {"status": ready}, subresource="status")
    owners = []
    for number in range(DEPLOYMENTS):
        deployment = client.create("deployments.apps", _workload("Deployment", number, None))
        above = _reference(deployment, "Deployment")
        made = client.create("replicasets.apps", _workload("ReplicaSet", number, above))
        owners.append(_reference(made, "ReplicaSet"))
    return owners


def _reference(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    about = obj["metadata"]
    return {"apiVersion": "apps/v1", "kind": kind, "name": about["name"], "uid": about["uid"],
            "controller": True, "blockOwnerDeletion": True}  # fmt: skip


def _workload(kind: str, number: int, owner: dict[str, Any] | None) -> dict[str, Any]:
    labels = {"app": f"app-{number}"}
    about: dict[str, Any] = {"name": f"app-{number}", "namespace": "default"}
    if owner:
        about["ownerReferences"] = [owner]
    spec = {"containers": [{"name": "main", "image": "host"}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": about,
            "spec": {"replicas": PODS // DEPLOYMENTS, "selector": {"matchLabels": labels},
                     "template": template}}  # fmt: skip


def _a_pod(number: int, owners: list[dict[str, Any]]) -> dict[str, Any]:
    owner = owners[number % DEPLOYMENTS]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": f"{owner['name']}-{number}", "namespace": "default",
                     "labels": {"app": owner["name"]}, "ownerReferences": [owner]},
        "spec": {"nodeName": f"node-{number % NODES}",
                 "containers": [{"name": "main", "image": "host"}]},
    }  # fmt: skip


RUNNING = {
    "status": {
        "phase": "Running",
        "podIP": "10.1.1.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "main", "ready": True, "restartCount": 0, "image": "host", "imageID": "",
             "state": {"running": {"startedAt": "2026-11-25T00:00:00Z"}}}
        ],
    }
}  # fmt: skip


def _in_parallel(server: ApiServerProcess, pods: list[dict[str, Any]]) -> None:
    def run(some: list[dict[str, Any]]) -> None:
        client = server.client()
        for pod in some:
            client.create("pods", pod)
            name = pod["metadata"]["name"]
            client.patch("pods", name, "default", RUNNING, subresource="status")

    workers = [threading.Thread(target=run, args=(pods[at::8],)) for at in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_a_thousand_pods_are_drawn_within_a_frame(page: Page, server: ApiServerProcess) -> None:
    page.until(lambda: page.picture("ready") == PODS)
    page.screenshot("page-thousand-1440")
    client = server.client()
    for number in range(0, 200, 4):  # they end and others come: the picture moves
        client.delete("pods", f"app-{number % DEPLOYMENTS}-{number}", "default", grace_s=0)
    page.until(lambda: page.picture("pods") == PODS - 50)
    told = page.js("return document.querySelector('canvas').dataset.frameMs")
    median, worst = map(float, told.split())
    print(f"a frame with {PODS} Pods: {median} ms, at worst {worst} ms")
    assert median < FRAME_MS
    assert page.overlapping() == []


def test_a_long_list_is_scrolled_by_keyboard_with_few_rows_in_it(page: Page) -> None:
    page.open("/ui/objects/pods")
    page.until(lambda: "9" in page.text(".heading .kind"))
    page.until(lambda: page.texts(".virtual tbody tr[data-key]"))
    assert len(page.texts(".virtual tbody tr[data-key]")) < 80
    page.js("document.querySelector('.table-scroll').focus()")
    page.keys(Keys.END)
    page.until(lambda: "app-9-" in page.texts(".virtual tbody tr[data-key]")[-1])
    page.keys(Keys.ENTER)
    page.shows("app-9-", "h1")


def test_a_thousand_pods_on_a_phone(page: Page) -> None:
    page.size(*PHONE)
    page.open("/ui/")
    page.until(lambda: page.picture("pods") == PODS - 50)
    assert page.does_not_scroll_sideways()
    page.screenshot("page-thousand-390")
    page.size(*WIDE)


def test_the_focus_stays_in_a_list_that_changes(page: Page, server: ApiServerProcess) -> None:
    page.open("/ui/objects/pods?sort=Name:up")
    page.until(lambda: page.texts(".virtual tbody tr[data-key]"))
    page.js("document.querySelectorAll('.virtual tbody tr[data-key] a')[3].focus()")
    focused = page.js("return document.activeElement.innerText")
    first = page.text(".virtual tbody tr[data-key] a")
    server.client().delete("pods", first, "default", grace_s=0)
    page.until(lambda: page.text(".virtual tbody tr[data-key] a") != first)
    assert page.js("return document.activeElement.innerText") == focused


def test_the_first_paint_does_not_wait_for_the_cluster(page: Page) -> None:
    page.open("/ui/")
    page.until(lambda: page.text("#connection") == "live")
    paint = page.js(
        "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
    )
    print(f"first paint after {paint:.0f} ms")
    assert 0 <= paint < 2000  # 200 ms on an idle machine


# The last one: the server has no past then.
def test_a_moment_that_is_no_longer_kept_is_told_wherever_it_is_asked_for(
    page: Page, server: ApiServerProcess
) -> None:
    page.open("/ui/")
    page.until(lambda: page.js("return document.querySelectorAll('.slider rect').length"))
    server.compact(int(server.client().list("nodes")["metadata"]["resourceVersion"]))
    move = "const r = document.querySelector('.slider input'); r.value = 0"
    page.js(f"{move}; r.dispatchEvent(new Event('input'))")  # where there was something
    page.shows("cannot be shown: it is no longer kept", ".when")
    page.colours("light")  # and nothing moves
    for path, where in (("/ui/?at=5", "#toasts"), ("/ui/diff?from=5", ".problem")):
        page.open(path)
        page.shows("too old resource version: 5", where)
        for width, height in (PHONE, WIDE):
            page.size(width, height)
            assert page.misfits() == []
            page.screenshot(f"page-compacted-{where[1:]}-{width}")
    page.open("/ui/?at=5")
    page.until(lambda: page.picture("pods") > 0)  # and the picture is live
