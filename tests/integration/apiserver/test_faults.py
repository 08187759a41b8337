"""Faults, in a lab and where there is none: the real API server, without its components."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from apiserver.fault_lab import unanswered
from kubelet.disks import disk_below
from kubelet.runtime.cgroups import NEEDED, Cgroups
from kubelet.runtime.cgroups.hierarchy import Hierarchy
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.cgroups.v2 import HierarchyV2
from kubelet.slow_disk import SlowDisk
from podium.client.config import load_kubeconfig
from podium.client.errors import AlreadyExists, Forbidden, Invalid, ServerError, Unreachable
from podium.client.http import Client
from podium.client.informer import InformerFactory
from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.builders import a_node, a_pod, unstored
from tests.support.waiting import eventually

Object = dict[str, Any]
FAULTS = "faults.debug.podium.dev"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    """Of a cluster that was started with --lab."""
    data_dir = tmp_path_factory.mktemp("lab")
    lab = ApiServerProcess(data_dir)
    config = data_dir / "cluster.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "lab": True}))
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def admin(server: ApiServerProcess) -> Iterator[Client]:
    client = server.client()
    yield client
    for fault in client.list(FAULTS)["items"]:
        client.delete(FAULTS, fault["metadata"]["name"])


def begin(admin: Client, type_: str, **spec: Any) -> Object:
    """The fault, once it has begun."""
    made = {"metadata": {"generateName": "fault-"}, "spec": {"type": type_, **spec}}
    name = admin.create(FAULTS, made)["metadata"]["name"]

    def begun() -> Object | None:
        found = admin.get(FAULTS, name)
        return found if (found.get("status") or {}).get("phase") else None

    return eventually(begun) or {}


def undo(admin: Client, fault: Object) -> None:
    admin.delete(FAULTS, fault["metadata"]["name"])


def works(call: Any) -> bool:
    try:
        call()
    except ServerError:
        return False
    return True


@contextlib.contextmanager
def impatient(server: ApiServerProcess, identity: str) -> Iterator[Client]:
    client = Client(load_kubeconfig(server.kubeconfig(identity)), timeout_s=0.5)
    yield client
    client.close()


def hears(client: Client) -> bool:
    """Whether node-1 gets an answer."""
    try:
        client.get("nodes", "node-1")
    except Unreachable as silence:
        return "timed out" not in str(silence)
    return True


def test_a_node_that_is_cut_off_is_not_answered_until_that_is_undone(
    server: ApiServerProcess, admin: Client
) -> None:
    node = server.client("node-node-1")
    node.create("nodes", unstored(a_node("node-1")))
    told: list[str] = []

    def follow() -> None:
        with node.watch("nodes", field_selector="metadata.name=node-1", timeout_s=30) as watch:
            told.extend(next(watch).type for _ in range(2))

    thread = threading.Thread(target=follow)
    thread.start()
    eventually(lambda: told == ["ADDED"])
    fault = begin(admin, "CutOff", target="node-1")
    with impatient(server, "node-node-1") as client:
        assert not hears(client)
        admin.patch("nodes", "node-1", None, {"metadata": {"labels": {"a": "b"}}})
        assert told == ["ADDED"]
        waiting = threading.Thread(target=lambda: told.append(node.get("nodes", "node-1")["kind"]))
        waiting.start()
        undo(admin, fault)
        eventually(lambda: sorted(told) == ["ADDED", "MODIFIED", "Node"])
        waiting.join()
        assert hears(client)
    thread.join()


def test_a_fault_ends_by_itself(server: ApiServerProcess, admin: Client) -> None:
    controllers = server.client("controllers")
    fault = begin(admin, "DropWatch", target="pods", seconds=1)
    assert not works(lambda: controllers.watch("pods", timeout_s=1).dispose())
    assert works(lambda: controllers.watch("nodes", timeout_s=1).dispose())
    name = fault["metadata"]["name"]
    eventually(lambda: admin.get(FAULTS, name)["status"]["phase"] == "Ended")
    assert works(lambda: controllers.watch("pods", timeout_s=1).dispose())


def test_watches_that_are_open_are_broken_but_not_those_of_people(
    server: ApiServerProcess, admin: Client
) -> None:
    ended: list[str] = []

    def follow(client: Client, name: str) -> None:
        with client.watch("pods", timeout_s=3) as watch:
            list(watch)
        ended.append(name)

    clients = {"controllers": server.client("controllers"), "admin": server.client()}
    threads = [threading.Thread(target=follow, args=(c, name)) for name, c in clients.items()]
    for thread in threads:
        thread.start()
    time.sleep(0.5)  # both are open; a watch that comes too late is refused, which fails the test
    began = time.monotonic()
    begin(admin, "DropWatch")
    eventually(lambda: ended == ["controllers"])
    assert time.monotonic() - began < 2
    for thread in threads:
        thread.join()


def test_a_watch_that_is_delayed_tells_late(server: ApiServerProcess, admin: Client) -> None:
    begin(admin, "DelayWatch", target="pods", delayMilliseconds=700)
    with server.client("controllers").watch("pods", timeout_s=5) as watch:
        began = time.monotonic()
        admin.create("pods", unstored(a_pod("late")))
        assert next(watch).type == "ADDED"
        assert time.monotonic() - began >= 0.7


def test_a_slow_store_makes_writes_slow_and_reads_not(admin: Client) -> None:
    def seconds(call: Any) -> float:
        began = time.monotonic()
        call()
        return time.monotonic() - began

    fault = begin(admin, "SlowStore", delayMilliseconds=400)
    made = {"metadata": {"name": "slow"}}
    assert seconds(lambda: admin.create("namespaces", made)) >= 0.4
    assert seconds(lambda: admin.get("namespaces", "slow")) < 0.4
    undo(admin, fault)


def test_memory_is_held_and_given_back(admin: Client) -> None:
    fault = begin(admin, "FillMemory", memory="16Mi")
    assert eventually(held) == [str(16 << 20)]
    undo(admin, fault)
    eventually(lambda: not held())
    too_much = begin(admin, "FillMemory", memory="1Pi")["status"]
    assert too_much["phase"] == "Failed"
    assert "at most" in too_much["message"]


def held() -> list[str]:
    """The bytes that children of a server hold."""
    commands = [command.split("\0") for command in _commands()]
    return [argv[-2] for argv in commands if "held = bytearray" in " ".join(argv)]


def _commands() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue  # it ended while we looked


def test_a_restarted_server_goes_on_with_faults_and_ends_those_that_are_over(
    server: ApiServerProcess, admin: Client
) -> None:
    node = server.client("node-node-1")
    with contextlib.suppress(AlreadyExists):
        node.create("nodes", unstored(a_node("node-1")))
    begin(admin, "CutOff", target="node-1", seconds=120)
    memory = begin(admin, "FillMemory", memory="32Mi", seconds=120)
    short = begin(admin, "DropWatch", target="pods", seconds=1)["metadata"]["name"]
    server.kill()
    eventually(lambda: not held())
    server.start()
    with impatient(server, "node-node-1") as client:
        eventually(lambda: not hears(client) and held())
    eventually(lambda: admin.get(FAULTS, short)["status"]["phase"] == "Ended")
    undo(admin, memory)
    eventually(lambda: not held())


def a_slow_disk(node: Client, node_dir: Path, *trees: Hierarchy) -> SlowDisk:
    """The kubelet's part, as far as a machine with these cgroups lets it."""
    informers = InformerFactory(node)
    cgroups = Cgroups("podium", [HierarchyV1(f"{node_dir}/v1", NEEDED), *trees])
    found = SlowDisk(
        node, informers, cgroups, "node-1", node_dir=str(node_dir), pods=list, is_lab=True
    )
    informers.start()
    found.start()
    return found


@pytest.mark.parametrize("has_controller", [True, False])
def test_a_nodes_own_kubelet_slows_its_disk_or_says_why_it_cannot(
    server: ApiServerProcess, admin: Client, tmp_path: Path, *, has_controller: bool
) -> None:
    if disk_below(str(tmp_path)) is None:
        pytest.skip("temporary files are on no disk")
    node = server.client("node-node-1")
    with contextlib.suppress(AlreadyExists):
        node.create("nodes", unstored(a_node("node-1")))
    io = HierarchyV2(str(tmp_path), frozenset({"io"}))
    file = tmp_path / "podium/kubepods/io.max"
    file.parent.mkdir(parents=True)
    file.touch()
    slow_disk = a_slow_disk(node, tmp_path, *([io] if has_controller else []))
    fault = begin(admin, "SlowDisk", target="node-1")
    if has_controller:
        assert fault["status"]["phase"] == "Active"
        assert "rbps=1048576 wbps=1048576" in file.read_text()
        undo(admin, fault)
        eventually(lambda: "rbps=max wbps=max" in file.read_text())
    else:
        assert fault["status"]["phase"] == "Failed"
        assert "no cgroup controller for: io" in fault["status"]["message"]
    eventually(lambda: not (tmp_path / "slow-disk").exists())
    slow_disk.stop()


def test_a_fault_that_its_kubelet_does_not_begin_fails_in_the_end() -> None:
    begun = datetime(2026, 11, 26, 8, tzinfo=UTC)
    fault = {"metadata": {"creationTimestamp": "2026-11-26T08:00:00Z"},
             "spec": {"type": "SlowDisk", "target": "node-1"}}  # fmt: skip
    assert unanswered(fault, begun + timedelta(seconds=19)) == ""
    told = unanswered(fault, begun + timedelta(seconds=20))
    assert told == "the kubelet of node node-1 has not begun it within 20 s"


def test_what_is_not_there_is_told(admin: Client) -> None:
    assert (
        'component "kublet" does not run'
        in begin(admin, "Kill", target="kublet")["status"]["message"]
    )
    status = begin(admin, "CutOff", target="nowhere")["status"]
    assert (status["phase"], status["message"]) == ("Failed", 'nodes "nowhere" not found')


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "Flood"}, 'spec.type: Unsupported value: "Flood"'),
        ({"type": "Kill"}, "spec.target: Required value: must name a component"),
        ({"type": "CutOff", "target": "a", "seconds": 9999}, "must be between 1 and 600"),
        ({"type": "DropWatch", "target": "cats"}, "must be a resource, such as pods"),
        ({"type": "SlowStore", "delayMilliseconds": 60_000}, "must be between 1 and 10000"),
        ({"type": "FillMemory"}, "spec.memory: Required value"),
        ({"type": "SlowStore", "delayMilliseconds": 1, "target": "x"}, "may not be set"),
        ({"type": "SlowStore", "delayMilliseconds": 1, "memory": "1Mi"}, "may not be set"),
        ({"type": "SlowDisk"}, "spec.target: Required value: must name a node"),
        ({"type": "SlowDisk", "target": "a", "bytesPerSecond": "0"}, "must be greater than 0"),
        ({"type": "SlowDisk", "target": "a", "operationsPerSecond": -1}, "must be between 0 and"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(admin: Client, spec: Object, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        admin.create(FAULTS, {"metadata": {"name": "bad"}, "spec": spec})
    assert words in str(caught.value)


def test_components_make_no_faults(server: ApiServerProcess) -> None:
    made = {"metadata": {"name": "mine"}, "spec": {"type": "Kill", "target": "kubelet"}}
    for identity in ("controllers", "scheduler", "node-node-1"):
        with pytest.raises(Forbidden):
            server.client(identity).create(FAULTS, made)


def test_where_there_is_no_lab_every_fault_is_forbidden(tmp_path: Path) -> None:
    with running_api_server(tmp_path) as server, pytest.raises(Forbidden) as caught:
        begin(server.client(), "Kill", target="apiserver")
    assert "started with podium up --lab" in str(caught.value)
