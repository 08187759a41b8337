"""What is wrong with claims, volumes, classes, and with how containers mount them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.validation import validate_create, validate_update
from podium.api.defaults import apply_defaults
from podium.api.scheme import resource
from tests.support.builders import a_pod

Object = dict[str, Any]


def a_claim(**spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": "data", "namespace": "default"}, "spec": wanted | spec}


def a_volume(**spec: Any) -> Object:
    offered = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/data"},
    }
    return {"metadata": {"name": "v"}, "spec": offered | spec}


def causes(plural: str, obj: Object) -> list[str]:
    kind = resource(plural)
    apply_defaults(obj, kind)
    return [f"{cause.field}: {cause.message}" for cause in validate_create(kind, obj)]


def update_causes(plural: str, old: Object, new: Object) -> list[str]:
    kind = resource(plural)
    for obj in (old, new):
        obj["metadata"].setdefault("resourceVersion", "1")
        apply_defaults(obj, kind)
    return [f"{cause.field}: {cause.message}" for cause in validate_update(kind, new, old)]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (a_claim(accessModes=[]), "spec.accessModes: Required value: at least 1 access mode"),
        (a_claim(accessModes=["ReadWriteOncePod", "ReadOnlyMany"]), "may not use ReadWriteOncePod"),
        (a_claim(resources={}), "spec.resources[storage]: Required value"),
        (a_claim(resources={"requests": {"storage": "0"}}), "must be greater than zero"),
        (a_claim(storageClassName="Not A Name"), "spec.storageClassName: Invalid value"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(claim: Object, words: str) -> None:
    assert any(words in cause for cause in causes("persistentvolumeclaims", claim))
    assert causes("persistentvolumeclaims", a_claim()) == []


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (a_volume(capacity={}), "spec.capacity: Required value"),
        (a_volume(nfs={"server": "a", "path": "/"}), "may not specify more than 1 volume type"),
        (a_volume(hostPath=None, local={"path": "/d"}), "Local volume requires node affinity"),
        (a_volume(hostPath={"path": "/a/../b"}), "must not contain '..'"),
    ],
)
def test_a_volume_that_makes_no_sense_is_refused(volume: Object, words: str) -> None:
    volume["spec"] = {k: v for k, v in volume["spec"].items() if v is not None}
    assert any(words in cause for cause in causes("persistentvolumes", volume))
    assert causes("persistentvolumes", a_volume()) == []


def test_a_claim_changes_in_size_alone_and_only_upwards() -> None:
    old = a_claim(volumeName="v")
    old["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    larger, smaller, other = (copy.deepcopy(old) for _ in range(3))
    larger["spec"]["resources"] = {"requests": {"storage": "2Gi"}}
    smaller["spec"]["resources"] = {"requests": {"storage": "500Mi"}}
    other["spec"]["volumeName"] = "w"
    assert update_causes("persistentvolumeclaims", old, larger) == []
    (why,) = update_causes("persistentvolumeclaims", old, smaller)
    assert "field can not be less than status.capacity" in why
    (why,) = update_causes("persistentvolumeclaims", old, other)
    assert why.startswith("spec: Forbidden: spec is immutable after creation")


def test_a_volumes_source_and_a_classs_parameters_stay_what_they_are() -> None:
    (why,) = update_causes("persistentvolumes", a_volume(), a_volume(hostPath={"path": "/other"}))
    assert "is immutable after creation" in why
    old = {"metadata": {"name": "c"}, "provisioner": "example.com/x", "parameters": {"a": "1"}}
    new = {**copy.deepcopy(old), "parameters": {"a": "2"}}
    assert update_causes("storageclasses", old, new) == [
        "parameters: Forbidden: updates to parameters are forbidden."
    ]


def pod_with(mount: Object, volume: Object | None = None, **container: Any) -> Object:
    pod = a_pod()
    pod["spec"]["volumes"] = [{"name": "v", **(volume or {"emptyDir": {}})}]
    pod["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}],
        **container,
    }
    return pod


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"mountPropagation": "Bidirectional"}, "available only to privileged containers"),
        ({"mountPropagation": "Sideways"}, "Unsupported value"),
        ({"recursiveReadOnly": "Enabled"}, "may only be specified when readOnly is true"),
        (
            {"recursiveReadOnly": "Enabled", "readOnly": True,
             "mountPropagation": "HostToContainer"},
            "may only be specified when mountPropagation is None or not specified",
        ),
        ({"subPath": "../up"}, "must not contain '..'"),
    ],
)  # fmt: skip
def test_a_mount_that_cannot_be_is_refused(mount: Object, words: str) -> None:
    assert any(words in cause for cause in causes("pods", pod_with(mount)))
    assert causes("pods", pod_with({"recursiveReadOnly": "IfPossible", "readOnly": True})) == []


def test_a_device_is_a_claims_and_at_a_place_of_its_own() -> None:
    devices = [{"name": "v", "devicePath": "/v"}]
    found = causes("pods", pod_with({}, volumeDevices=devices))
    at = "spec.containers[0].volumeDevices[0]"
    assert any(f"{at}.name: Invalid value" in cause for cause in found)
    assert any("must not already exist in volumeMounts" in cause for cause in found)
    claim = {"persistentVolumeClaim": {"claimName": "data"}}
    pod = pod_with({}, claim, volumeDevices=[{"name": "v", "devicePath": "/dev/x"}])
    del pod["spec"]["containers"][0]["volumeMounts"]
    assert causes("pods", pod) == []


def test_a_token_lives_ten_minutes_at_least_and_an_image_has_a_name() -> None:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 60}}
    found = causes("pods", pod_with({}, {"projected": {"sources": [token]}}))
    assert any("may not specify a duration less than 10 minutes" in cause for cause in found)
    found = causes("pods", pod_with({}, {"image": {}}))
    assert any("image.reference: Required value" in cause for cause in found)
