"""Static Pods of a real cluster: run from files, shown by mirror Pods, API server or not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.namespaced import a_sleeper

Object = dict[str, Any]


class Manifests:
    """The directory, and what becomes of the Pods in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.node = cluster, cluster.nodes[0]
        self.directory = cluster.data_dir / "nodes" / self.node / "manifests"

    def put(self, name: str, **container: Any) -> Path:
        path = self.directory / f"{name}.yaml"
        draft = path.with_name(f".{name}")
        draft.write_text(yaml.safe_dump(a_sleeper(name, **container)))
        draft.rename(path)
        return path

    def mirror(self, name: str) -> Object:
        shown = self.cluster.kubectl("get", "pod", f"{name}-{self.node}", "-o", "yaml", check=False)
        found: Object = yaml.safe_load(shown.stdout) or {}
        return found

    def ready(self, name: str) -> Object:
        def look() -> Object:
            pod = self.mirror(name)
            conditions = (pod.get("status") or {}).get("conditions") or ()
            is_ready = any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)
            return pod if is_ready else {}

        return self.cluster.until(look)

    def processes(self, word: str) -> list[int]:
        """Of this cluster's containers, those with that word in their command."""
        found = []
        for pid in self.cluster.container_processes():
            try:
                text = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            except OSError:
                continue
            if word in text.split("\0"):
                found.append(pid)
        return found


@pytest.fixture
def manifests(cluster: Cluster) -> Iterator[Manifests]:
    found = Manifests(cluster)
    yield found
    for path in found.directory.iterdir():
        path.unlink()
    cluster.until(lambda: "static-" not in cluster.kubectl("get", "pods", "-o", "name").stdout)


def test_a_file_is_a_pod_and_its_end_is_the_pods(manifests: Manifests) -> None:
    path = manifests.put("static-a", command=["sleep", "4721"])
    pod = manifests.ready("static-a")
    annotations = pod["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert len(manifests.processes("4721")) == 1
    name = pod["metadata"]["name"]
    assert manifests.cluster.kubectl("exec", name, "--", "hostname").stdout.strip() == name
    assert "Started container main" in manifests.cluster.kubectl("describe", "pod", name).stdout
    path.unlink()
    manifests.cluster.until(lambda: not manifests.mirror("static-a"))
    assert manifests.processes("4721") == []


def test_a_changed_file_replaces_the_pod(manifests: Manifests) -> None:
    manifests.put("static-b", command=["sleep", "4722"])
    before = manifests.ready("static-b")["metadata"]["annotations"]
    manifests.put("static-b", command=["sleep", "4723"])
    manifests.cluster.until(lambda: manifests.processes("4723"))
    after = manifests.ready("static-b")["metadata"]["annotations"]
    assert after["kubernetes.io/config.hash"] != before["kubernetes.io/config.hash"]
    assert manifests.processes("4722") == []


def test_deleting_the_mirror_ends_nothing_and_it_comes_back(manifests: Manifests) -> None:
    manifests.put("static-c", command=["sleep", "4724"])
    pod = manifests.ready("static-c")
    (pid,) = manifests.processes("4724")
    manifests.cluster.kubectl("delete", "pod", pod["metadata"]["name"])
    again = manifests.ready("static-c")
    assert again["metadata"]["uid"] != pod["metadata"]["uid"]
    assert manifests.processes("4724") == [pid]


def test_a_bad_file_harms_no_other(manifests: Manifests) -> None:
    (manifests.directory / "bad.yaml").write_text("kind: [")
    manifests.put("static-d")
    manifests.ready("static-d")
    log = (manifests.cluster.data_dir / "log" / "kubelet.log").read_text()
    assert "bad.yaml is no static Pod: while parsing" in log


def test_static_pods_run_while_there_is_no_api_server(manifests: Manifests) -> None:
    cluster = manifests.cluster
    supervisor, server = cluster.supervisor_pid(), cluster.pids()["apiserver"]
    os.kill(supervisor, signal.SIGSTOP)  # so that nobody brings it back
    try:
        os.kill(server, signal.SIGKILL)
        manifests.put("static-e", command=["sleep", "4725"])
        cluster.until(lambda: manifests.processes("4725"))
        (pid,) = manifests.processes("4725")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    manifests.ready("static-e")
    assert manifests.processes("4725") == [pid]
