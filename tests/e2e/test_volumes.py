"""Volumes of every kind on real Pods: what kubectl shows, and what the kernel shows inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper

Object = dict[str, Any]


def a_claim(name: str = "data", size: str = "10Mi", **spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": wanted | spec,
    }


def a_user(name: str, volume: Object, target: str = "/data", **mount: Any) -> Object:
    """A sleeper with one volume."""
    pod = a_sleeper(name, volumeMounts=[{"name": "v", "mountPath": target, **mount}])
    pod["spec"]["volumes"] = [{"name": "v", **volume}]
    return pod


def claimed(name: str = "data", **source: Any) -> Object:
    return {"persistentVolumeClaim": {"claimName": name, **source}}


def storage_of(ns: Namespaced) -> Path:
    """Where the node keeps the directories of local volumes."""
    return next(ns.cluster.data_dir.glob("nodes/*/storage"))


def test_a_claim_waits_for_its_pod_then_holds_data_until_it_is_deleted(ns: Namespaced) -> None:
    ns.apply(a_claim())
    assert ns.out("get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Pending"
    ns.apply(a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    ns.sh("one", "echo kept > /data/file")
    ns.kubectl("delete", "pod", "one")
    ns.apply(a_user("two", claimed()))
    ns.wait("pod/two", "condition=Ready")
    assert ns.sh("two", "cat /data/file") == "kept"
    volume = ns.out("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    directory = storage_of(ns) / volume
    assert (directory / "file").read_text() == "kept\n"
    ns.kubectl("delete", "pvc", "data", "--wait=false")
    assert "Terminating" in ns.out("get", "pvc", "data")
    ns.kubectl("delete", "pod", "two")
    ns.wait("pvc/data", "delete")
    ns.wait(f"pv/{volume}", "delete")
    assert not directory.exists()


def test_kubectl_shows_claims_volumes_and_classes_as_it_does_elsewhere(ns: Namespaced) -> None:
    ns.apply(a_claim(), a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    header, row = ns.out("get", "pvc").splitlines()
    assert header.split() == [
        "NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS", "MODES", "STORAGECLASS",
        "VOLUMEATTRIBUTESCLASS", "AGE",
    ]  # fmt: skip
    name, phase, volume, size, modes, storage_class = row.split()[:6]
    assert (name, phase, size, modes, storage_class) == ("data", "Bound", "10Mi", "RWO", "standard")
    assert "standard (default)" in ns.out("get", "sc")
    described = ns.out("describe", "pv", volume)
    assert f"Claim:             {ns.name}/data" in described
    assert "Driver:            podium.dev/local-path" in described
    assert "Used By:       one" in ns.out("describe", "pvc", "data")
