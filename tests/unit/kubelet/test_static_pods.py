"""Static Pods: from files to Pods, and what becomes of them when the files change."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubelet.mirror_pods import mirror_of, mirrored
from kubelet.static_pods import BadManifest, StaticPods, read_manifest

Object = dict[str, Any]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "main", "image": "host"}], "terminationGracePeriodSeconds": 7},
}


def write(path: Path, obj: Any = POD, **spec: Any) -> Path:
    if spec:
        obj = {**obj, "spec": {**obj["spec"], **spec}}
    path.write_text(obj if isinstance(obj, str) else yaml.safe_dump(obj))
    return path


@pytest.fixture
def pods(tmp_path: Path) -> StaticPods:
    return StaticPods(tmp_path, "Node-1", changed=lambda _uid: None)


def test_a_manifest_becomes_a_pod_of_this_node(tmp_path: Path) -> None:
    pod = read_manifest(write(tmp_path / "web.yaml"), "Node-1")
    about = pod["metadata"]
    assert (about["name"], about["namespace"], pod["spec"]["nodeName"]) == (
        "web-node-1", "default", "Node-1",
    )  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{32}", about["uid"])
    assert about["annotations"]["kubernetes.io/config.hash"] == about["uid"]
    assert about["annotations"]["kubernetes.io/config.source"] == "file"
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert pod["spec"]["restartPolicy"] == "Always"


def test_a_manifest_may_be_json_and_a_date_in_yaml_stays_a_text(tmp_path: Path) -> None:
    pod = read_manifest(write(tmp_path / "web.json", json.dumps(POD, indent="\t")), "n")
    assert pod["metadata"]["name"] == "web-n"
    dated = yaml.safe_dump(POD) + "  nodeSelector: {built: 2026-11-25}"
    selector = read_manifest(write(tmp_path / "web.yaml", dated), "n")["spec"]["nodeSelector"]
    assert selector == {"built": "2026-11-25"}


def test_a_pod_is_the_same_as_long_as_file_and_content_are(tmp_path: Path) -> None:
    def uid(path: Path, **spec: Any) -> str:
        return str(read_manifest(write(path, **spec), "n")["metadata"]["uid"])

    first = uid(tmp_path / "a.yaml")
    assert uid(tmp_path / "a.yaml") == first
    assert uid(tmp_path / "b.yaml") != first
    assert uid(tmp_path / "a.yaml", hostNetwork=True) != first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Expecting property name"),
        ("kind: [", "while parsing"),
        ("- a", "it does not hold one object"),
        ("kind: Service\napiVersion: v1", "it holds v1, Service and not v1, Pod"),
        (yaml.safe_dump(POD | {"spec": {}}), "spec.containers: Required value"),
        (yaml.safe_dump(POD | {"spec": {"containers": "x"}}), "containers"),
        (yaml.safe_dump(POD | {"metadata": {"name": "../../etc"}}), "metadata.name: a lowercase"),
        (yaml.safe_dump(POD | {"metadata": {"name": "a", "uid": "../x"}}), "metadata.uid: must"),
        (
            yaml.safe_dump(POD | {"spec": {"containers": [{"name": "a/b", "image": "x"}]}}),
            "spec.containers[0].name: a lowercase",
        ),
    ],
)
def test_a_bad_manifest_is_told_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadManifest) as told:
        read_manifest(write(tmp_path / "bad.yaml", text), "n")
    assert words in str(told.value)


def test_bad_files_are_told_once_and_harm_nobody(
    pods: StaticPods, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "web.yaml")
    write(tmp_path / "bad.yaml", "kind: [")
    write(tmp_path / ".hidden.yaml", "kind: [")
    write(tmp_path / "twice.json", POD)
    (tmp_path / "directory").mkdir()
    with caplog.at_level(logging.ERROR):
        pods.scan()
        pods.scan()
    assert [pod["metadata"]["name"] for pod in pods.list()] == ["web-node-1"]
    assert [Path(record.message.split()[0]).name for record in caplog.records] == [
        "bad.yaml", "web.yaml",
    ]  # fmt: skip


def test_a_removed_file_ends_its_pod_with_its_grace_period(
    pods: StaticPods, tmp_path: Path
) -> None:
    path = write(tmp_path / "web.yaml")
    pods.scan()
    (pod,) = pods.list()
    uid = pod["metadata"]["uid"]
    path.unlink()
    pods.scan()
    ending = pods.find(uid)
    assert ending is not None
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 7
    pods.ended(uid)
    assert not pods.has(uid)


def test_a_changed_file_is_another_pod_that_waits_for_the_old_one(
    pods: StaticPods, tmp_path: Path
) -> None:
    path = write(tmp_path / "web.yaml")
    pods.scan()
    old = pods.list()[0]["metadata"]["uid"]
    write(path, hostNetwork=True)
    pods.scan()
    (new,) = {pod["metadata"]["uid"] for pod in pods.list()} - {old}
    assert pods.find(new) is None
    pods.ended(old)
    assert pods.find(new) is not None


def test_a_mirror_stands_for_its_pod_and_belongs_to_the_node(tmp_path: Path) -> None:
    pod = read_manifest(write(tmp_path / "web.yaml"), "n")
    mirror = mirror_of(pod, {"metadata": {"name": "n", "uid": "node-uid"}})
    assert mirrored(mirror) == pod["metadata"]["uid"]
    assert "uid" not in mirror["metadata"]
    assert mirror["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "node-uid", "controller": True}
    ]
