"""A node that runs short, and Pods that take more of its disk than they may. Thresholds are set so
that the node is short as it is: nothing is filled."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster, run_podium, running_cluster
from tests.support.images import OciLayout, busybox_image_tar, layer_tar
from tests.support.namespaced import Namespaced, a_script, a_sleeper

HEAD = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
ALWAYS_SHORT = {"memory.available": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')}"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of its own, with settings that take effect quickly."""
    directory = tmp_path_factory.mktemp("own")
    config = written(directory / "kubelet.yaml", maxPods=20, kubeReserved={"memory": "64Mi"})
    with running_cluster(directory / "data", "--kubelet-config", str(config)) as cluster:
        yield cluster


def written(path: Path, **fields: Any) -> Path:
    path.write_text(yaml.safe_dump(HEAD | fields))
    return path


def with_settings(cluster: Cluster, **fields: Any) -> None:
    """As somebody does it who edits the file and restarts the kubelet."""
    written(cluster.data_dir / "nodes" / cluster.nodes[0] / "kubelet.yaml", **fields)
    pid = cluster.pids()["kubelet"]
    os.kill(pid, signal.SIGKILL)
    cluster.until(lambda: cluster.pids().get("kubelet", pid) != pid)


def condition(cluster: Cluster, type_: str) -> str:
    found = cluster.kubectl(
        "get", "nodes", "-o",
        f'jsonpath={{.items[0].status.conditions[?(@.type=="{type_}")].status}}',
    )  # fmt: skip
    return found.stdout.strip()


def test_settings_show_on_the_node(own: Cluster) -> None:
    path = "{.items[0].status.allocatable.pods} {.items[0].status.capacity.memory}"
    path += " {.items[0].status.allocatable.memory}"
    pods, capacity, rest = own.kubectl("get", "nodes", "-o", f"jsonpath={path}").stdout.split()
    assert pods == "20"
    kept = int(capacity.removesuffix("Ki")) - int(rest.removesuffix("Ki"))
    assert kept == (64 + 100) * 1024


def test_a_bad_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config = written(tmp_path / "bad.yaml", maxPods=-1, nonsense=True)
    done = run_podium(
        "up", "-d", "--port", "0", "--data-dir", str(tmp_path / "data"),
        "--kubelet-config", str(config), check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert 'unknown field "nonsense"' in done.stderr
    assert not (tmp_path / "data" / "cluster.json").exists()


@pytest.mark.parametrize(
    ("limits", "volume", "words"),
    [
        ({}, {"sizeLimit": "1Mi"}, 'Usage of EmptyDir volume "data" exceeds the limit "1Mi".'),
        ({"ephemeral-storage": "2Mi"}, {}, "exceeds the total limit of containers 2Mi."),
    ],
)
def test_a_pod_that_writes_more_than_it_may_is_evicted(
    ns: Namespaced, limits: dict[str, str], volume: dict[str, str], words: str
) -> None:
    pod = a_script(
        "greedy", "head -c 5000000 /dev/zero > /data/file; sync; sleep 1000",
        resources={"limits": limits}, volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )  # fmt: skip
    pod["spec"]["volumes"] = [{"name": "data", "emptyDir": volume}]
    ns.apply(pod)
    ns.wait("pod/greedy", "jsonpath={.status.phase}=Failed")
    status = ns.get("pod", "greedy")["status"]
    assert status["reason"] == "Evicted"
    assert words in status["message"]
    target = next(c for c in status["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    ns.cluster.until(lambda: words in ns.out("events", "--for", "pod/greedy"))


def test_a_container_that_fills_its_own_root_is_evicted(ns: Namespaced) -> None:
    pod = a_script("writer", "head -c 5000000 /dev/zero > /file; sync; sleep 1000",
                   resources={"limits": {"ephemeral-storage": "2Mi"}})  # fmt: skip
    other = {**pod["spec"]["containers"][0], "name": "other", "command": ["sleep", "1000"]}
    other["resources"] = {"limits": {"ephemeral-storage": "1Gi"}}
    pod["spec"]["containers"].append(other)
    ns.apply(pod)
    ns.wait("pod/writer", "jsonpath={.status.phase}=Failed")
    words = 'Container main exceeded its local ephemeral storage limit "2Mi".'
    assert words in ns.get("pod", "writer")["status"]["message"]


def test_short_of_memory_the_node_evicts_best_effort_first_and_takes_no_more(own: Cluster) -> None:
    ns = Namespaced(own, "default")
    asking = {"requests": {"memory": "256Mi"}}
    ns.apply(a_sleeper("cheap"), a_sleeper("asks", resources=asking))
    for name in ("cheap", "asks"):
        ns.wait(f"pod/{name}", "condition=Ready")
    with_settings(own, evictionHard=ALWAYS_SHORT, evictionPressureTransitionPeriod="1s")
    ns.wait("pod/cheap", "jsonpath={.status.reason}=Evicted")
    said = ns.get("pod", "cheap")["status"]["message"]
    assert said.startswith("The node was low on resource: memory. Threshold quantity: ")
    assert "Container main was using" in said
    own.until(lambda: condition(own, "MemoryPressure") == "True")
    taints = "jsonpath={.items[0].spec.taints[*].key}"
    own.until(lambda: "memory-pressure" in own.kubectl("get", "nodes", "-o", taints).stdout)
    late = a_sleeper("late")
    late["spec"]["nodeName"] = own.nodes[0]
    ns.apply(late)
    ns.wait("pod/late", "jsonpath={.status.reason}=Evicted")
    refused = "Pod was rejected: The node had condition: [MemoryPressure]. "
    assert ns.get("pod", "late")["status"]["message"] == refused
    with_settings(own)
    own.until(lambda: condition(own, "MemoryPressure") == "False")


def test_a_disk_that_is_too_full_loses_the_images_that_nobody_uses(
    own: Cluster, tmp_path: Path
) -> None:
    ns = Namespaced(own, "default")
    idle = OciLayout()
    idle.image("idle:1", [layer_tar({"data": os.urandom(1 << 20)})])
    kept = busybox_image_tar(tmp_path / "kept.tar", "kept:1")
    for archive in (kept, idle.write_tar(tmp_path / "idle.tar")):
        own.podium("image", "load", str(archive))
    ns.apply(a_sleeper("user", image="kept:1"))
    ns.wait("pod/user", "condition=Ready")
    settings = {"imageGCHighThresholdPercent": 1, "imageGCLowThresholdPercent": 0}
    with_settings(own, imageMinimumGCAge="0s", **settings)

    def is_collected() -> bool:
        names = own.podium("image", "list", check=False).stdout
        return "kept:1" in names and "idle:1" not in names

    own.until(is_collected)
    told = ("get", "events", "-A", "--field-selector=reason=FreeDiskSpaceFailed")
    words = "Failed to garbage collect required amount of images. Attempted to free"
    own.until(lambda: words in ns.out(*told))
    ns.kubectl("delete", "pod", "user", "--grace-period=1")
