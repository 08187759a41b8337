"""Claims and volumes find each other, and part again. The real API server, no kubelet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from controllers.local_path_provisioner import LocalPathProvisioner
from controllers.volume_binder import VolumeBinder
from controllers.volume_protection import VolumeProtection
from podium.client.errors import NotFound
from tests.support.api_server import ApiServerProcess
from tests.support.lab import Lab

Object = dict[str, Any]
CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"


_numbers = itertools.count(1)


@pytest.fixture
def storage(api_server: ApiServerProcess) -> Iterator[Lab]:
    """A namespace with the controllers of storage, and a class of its name for its own volumes."""
    admin = api_server.client()
    lab = Lab(admin, api_server.client("controllers"), f"storage-{next(_numbers)}")
    lab.start(VolumeBinder, LocalPathProvisioner, VolumeProtection)
    yield lab
    for each in lab.items("persistentvolumeclaims"):
        admin.delete("persistentvolumeclaims", each["metadata"]["name"], lab.namespace)
    lab.close()


def claim(lab: Lab, name: str = "data", size: str = "1Gi", **spec: Any) -> Object:
    """Of the class of this namespace unless it says otherwise."""
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": lab.namespace,
    }
    made = {"metadata": {"name": name}, "spec": wanted | spec}
    return lab.client.create(CLAIMS, made, lab.namespace)


def volume(lab: Lab, name: str, size: str = "1Gi", **spec: Any) -> str:
    offered = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": size},
        "storageClassName": lab.namespace,
        "hostPath": {"path": "/nowhere"},
    }
    made = {"metadata": {"name": f"{lab.namespace}-{name}"}, "spec": offered | spec}
    return str(lab.client.create(VOLUMES, made)["metadata"]["name"])


def a_class(lab: Lab, **fields: Any) -> None:
    made = {"metadata": {"name": lab.namespace}, "provisioner": "podium.dev/local-path"}
    lab.client.create("storageclasses", made | fields)


def phase(lab: Lab, plural: str, name: str) -> str:
    namespace = lab.namespace if plural == CLAIMS else None
    return str(lab.client.get(plural, name, namespace)["status"]["phase"])


def expect(lab: Lab, plural: str, name: str, wanted: str) -> None:
    lab.eventually(lambda: phase(lab, plural, name) == wanted)


def expect_gone(lab: Lab, plural: str, name: str) -> None:
    def is_gone() -> bool:
        try:
            lab.client.get(plural, name, lab.namespace if plural == CLAIMS else None)
        except NotFound:
            return True
        return False

    lab.eventually(is_gone)


def test_a_claim_gets_the_smallest_volume_and_tells_its_size(storage: Lab) -> None:
    volume(storage, "large", "9Gi")
    small = volume(storage, "small", "2Gi")
    expect(storage, VOLUMES, small, "Available")
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    found = storage.get(CLAIMS, "data")
    assert found["spec"]["volumeName"] == small
    assert found["status"]["capacity"] == {"storage": "2Gi"}
    expect(storage, VOLUMES, small, "Bound")


def test_a_claim_waits_for_a_volume_that_comes_later(storage: Lab) -> None:
    claim(storage, storageClassName="")
    storage.eventually(lambda: storage.events("FailedBinding"))
    name = volume(storage, "late", storageClassName="")
    expect(storage, CLAIMS, "data", "Bound")
    expect(storage, VOLUMES, name, "Bound")


def test_a_named_volume_that_is_too_small_is_refused_in_an_event(storage: Lab) -> None:
    name = volume(storage, "small")
    claim(storage, size="5Gi", volumeName=name)
    message = f'Cannot bind to requested volume "{name}": requested PV is too small'
    storage.eventually(lambda: message in storage.events("VolumeMismatch"))
    assert phase(storage, CLAIMS, "data") == "Pending"


def test_a_claim_whose_volume_is_deleted_is_lost(storage: Lab) -> None:
    name = volume(storage, "one")
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    storage.client.patch(VOLUMES, name, None, {"metadata": {"finalizers": None}})
    storage.client.delete(VOLUMES, name)
    expect(storage, CLAIMS, "data", "Lost")


def test_a_kept_volume_is_released_and_given_to_nobody_else(storage: Lab) -> None:
    name = volume(storage, "one")
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    storage.client.delete(CLAIMS, "data", storage.namespace)
    expect(storage, VOLUMES, name, "Released")
    claim(storage, "next")
    storage.eventually(lambda: storage.events("ProvisioningFailed"))
    assert phase(storage, CLAIMS, "next") == "Pending"


def test_what_nobody_can_delete_fails_and_says_so(storage: Lab) -> None:
    name = volume(storage, "one", persistentVolumeReclaimPolicy="Delete")
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    storage.client.delete(CLAIMS, "data", storage.namespace)
    expect(storage, VOLUMES, name, "Failed")
    assert "no deletable volume plugin" in storage.client.get(VOLUMES, name)["status"]["message"]


def test_an_immediate_class_provisions_on_a_node_and_deletes_after_the_claim(storage: Lab) -> None:
    node = f"node-{storage.namespace}"
    storage.client.create("nodes", {"metadata": {"name": node}})
    a_class(storage)
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    name = storage.get(CLAIMS, "data")["spec"]["volumeName"]
    made = storage.client.get(VOLUMES, name)
    assert made["spec"]["csi"] == {"driver": "podium.dev/local-path", "volumeHandle": name}
    storage.client.delete(CLAIMS, "data", storage.namespace)

    def is_for_the_kubelet_alone() -> bool:
        about = storage.client.get(VOLUMES, name)["metadata"]
        return "deletionTimestamp" in about and about["finalizers"] == ["podium.dev/local-path"]

    storage.eventually(is_for_the_kubelet_alone)
    storage.client.patch(VOLUMES, name, None, {"metadata": {"finalizers": None}})
    expect_gone(storage, VOLUMES, name)
    storage.client.delete("nodes", node)


def test_a_claim_in_use_goes_after_its_pod(storage: Lab) -> None:
    volume(storage, "one")
    claim(storage)
    expect(storage, CLAIMS, "data", "Bound")
    source = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    pod = {"metadata": {"name": "user"}, "spec": {"nodeName": "nowhere", "volumes": [source],
           "containers": [{"name": "c", "image": "host"}]}}  # fmt: skip
    storage.client.create("pods", pod, storage.namespace)
    storage.eventually(lambda: storage.informers.informer("pods").get(f"{storage.namespace}/user"))
    storage.client.delete(CLAIMS, "data", storage.namespace)
    storage.eventually(lambda: "deletionTimestamp" in storage.get(CLAIMS, "data")["metadata"])
    assert phase(storage, CLAIMS, "data") == "Bound"
    storage.client.delete("pods", "user", storage.namespace, grace_s=0)
    expect_gone(storage, CLAIMS, "data")
