"""Volumes of every kind on real Pods: what kubectl shows, and what the kernel shows inside."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.namespaced import Namespaced, a_sleeper
from tests.support.waiting import eventually

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


def test_a_node_without_the_driver_says_what_it_lacks(ns: Namespaced) -> None:
    share = {"nfs": {"server": "192.0.2.1", "path": "/share"}}
    disk = {"csi": {"driver": "ebs.csi.aws.com"}}
    ns.apply(a_user("share", share), a_user("disk", disk))
    for pod, missing in (
        ("share", "no volume plugin matched: nfs needs an NFS client (mount.nfs)"),
        ("disk", "driver name ebs.csi.aws.com not found in the list of registered CSI drivers"),
    ):
        message = f'MountVolume.SetUp failed for volume "v" : {missing}'
        eventually(lambda pod=pod, message=message: message in reasons(ns, pod, "FailedMount"))


def reasons(ns: Namespaced, pod: str, reason: str) -> list[str]:
    """The messages of a Pod's events."""
    chosen = f"involvedObject.name={pod},reason={reason}"
    return [event["message"] for event in ns.items("events", f"--field-selector={chosen}")]


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[str]:
    """A disk of a megabyte."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 20))
    found = subprocess.run(
        ["losetup", "--find", "--show", image], check=False, capture_output=True, text=True
    )
    if found.returncode:
        pytest.skip(f"no loop devices here: {found.stderr.strip()}")
    yield found.stdout.strip()
    subprocess.run(["losetup", "--detach", found.stdout.strip()], check=True)


# ---- static volumes ------------------------------------------------------------------------------


def a_volume(ns: Namespaced, name: str, source: Object, **spec: Any) -> Object:
    """A PersistentVolume of this node, of the class of this namespace."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In",
                                  "values": ns.cluster.nodes}]}  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{ns.name}-{name}"},
        "spec": {
            "capacity": {"storage": "50Mi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "storageClassName": ns.name,
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            **source,
            **spec,
        },
    }


def test_a_local_volume_is_bound_by_the_claims_class_and_kept_when_it_is_released(
    ns: Namespaced, tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("here before\n")
    volume = a_volume(ns, "local", {"local": {"path": str(tmp_path)}})
    ns.apply(volume, a_claim(storageClassName=ns.name), a_user("one", claimed(readOnly=True)))
    ns.wait("pod/one", "condition=Ready")
    assert ns.sh("one", "cat /data/old; touch /data/new 2>&1 || true").endswith("file system")
    ns.kubectl("delete", "pod/one", "pvc/data")
    ns.wait(f"pv/{ns.name}-local", "jsonpath={.status.phase}=Released")
    assert (tmp_path / "old").exists()
    ns.kubectl("delete", "pv", f"{ns.name}-local")


def test_a_block_device_is_a_device_in_the_container_and_nothing_else_is(
    ns: Namespaced, loop_device: str
) -> None:
    volume = a_volume(ns, "disk", {"local": {"path": loop_device}}, volumeMode="Block")
    pod = a_sleeper("one", volumeDevices=[{"name": "v", "devicePath": "/dev/xvda"}])
    pod["spec"]["volumes"] = [{"name": "v", **claimed()}]
    ns.apply(volume, a_claim(storageClassName=ns.name, volumeMode="Block"), pod)
    ns.wait("pod/one", "condition=Ready")
    number = os.stat(loop_device).st_rdev
    said = ns.sh("one", "stat -c '%F %t %T' /dev/xvda")
    assert said == f"block special file {os.major(number):x} {os.minor(number):x}"
    ns.sh("one", "echo written | dd of=/dev/xvda bs=512 conv=sync,fsync 2>/dev/null")
    assert Path(loop_device).read_bytes()[:8] == b"written\n"
    ns.kubectl("delete", "pod/one", "pvc/data", f"pv/{ns.name}-disk")


def test_a_disk_with_a_file_system_is_mounted_for_its_pod_and_then_no_more(
    ns: Namespaced, loop_device: str
) -> None:
    subprocess.run(["mkfs.ext4", "-q", loop_device], check=True)
    volume = a_volume(ns, "disk", {"local": {"path": loop_device, "fsType": "ext4"}})
    ns.apply(volume, a_claim(storageClassName=ns.name), a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    assert f" - ext4 {loop_device} " in ns.sh("one", "grep ' /data ' /proc/self/mountinfo")
    ns.kubectl("delete", "pod/one", "pvc/data", f"pv/{ns.name}-disk")
    assert loop_device not in Path("/proc/self/mountinfo").read_text()


def test_a_claim_grows_and_its_volume_with_it(ns: Namespaced) -> None:
    ns.apply(a_claim(), a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    ns.apply(a_claim(size="20Mi"))
    ns.wait("pvc/data", "jsonpath={.status.capacity.storage}=20Mi")
    volume = ns.out("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    assert ns.get("pv", volume)["spec"]["capacity"] == {"storage": "20Mi"}
    shrunk = ns.kubectl("apply", "-f", "-", stdin=json.dumps(a_claim(size="5Mi")), check=False)
    assert "field can not be less than status.capacity" in shrunk.stderr


def test_an_ephemeral_volume_comes_and_goes_with_its_pod(ns: Namespaced) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": a_claim()["spec"]}
    ns.apply(a_user("one", {"ephemeral": {"volumeClaimTemplate": template}}))
    ns.wait("pod/one", "condition=Ready")
    claim = ns.get("pvc", "one-v")
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "Pod"
    assert claim["metadata"]["labels"] == {"a": "b"}
    ns.kubectl("delete", "pod", "one")
    ns.wait("pvc/one-v", "delete")


def test_only_one_pod_has_a_claim_that_says_so(ns: Namespaced) -> None:
    ns.apply(a_claim(accessModes=["ReadWriteOncePod"]), a_user("one", claimed()))
    ns.wait("pod/one", "condition=Ready")
    ns.apply(a_user("two", claimed()))
    why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod"
    eventually(lambda: any(why in said for said in reasons(ns, "two", "FailedScheduling")))
    ns.kubectl("delete", "pod", "one")
    ns.wait("pod/two", "condition=Ready")


def test_a_pod_without_its_claim_waits_and_says_so(ns: Namespaced) -> None:
    ns.apply(a_user("one", claimed("nobody")))
    why = (
        '0/1 nodes are available: persistentvolumeclaim "nobody" not found. preemption: 0/1 nodes '
        "are available: 1 Preemption is not helpful for scheduling."
    )
    eventually(lambda: why in reasons(ns, "one", "FailedScheduling"))
    ns.apply(a_claim("nobody"))
    ns.wait("pod/one", "condition=Ready")


# ---- mounts --------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A shared tmpfs of the host with another one mounted below it."""
    path = tmp_path / "shared"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    subprocess.run(["mount", "--make-shared", path], check=True)
    (path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path / "below"], check=True)
    yield path
    subprocess.run(["umount", "--recursive", path], check=True)


def test_host_to_container_shows_what_the_host_mounts_later_and_none_does_not(
    ns: Namespaced, shared: Path
) -> None:
    source = {"hostPath": {"path": str(shared)}}
    ns.apply(a_user("none", source), a_user("slave", source, mountPropagation="HostToContainer"))
    for pod in ("none", "slave"):
        ns.wait(f"pod/{pod}", "condition=Ready")
    (shared / "late").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "late", shared / "late"], check=True)
    table = "cat /proc/self/mountinfo"
    assert " /data/late " in ns.sh("slave", table)
    assert " /data/late " not in ns.sh("none", table)


def test_bidirectional_is_for_privileged_containers_and_reaches_the_host(
    ns: Namespaced, shared: Path
) -> None:
    source = {"hostPath": {"path": str(shared)}}
    pod = a_user("both", source, mountPropagation="Bidirectional")
    refused = ns.kubectl("apply", "-f", "-", stdin=json.dumps(pod), check=False)
    why = "Bidirectional mount propagation is available only to privileged containers"
    assert why in refused.stderr
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    ns.apply(pod)
    ns.wait("pod/both", "condition=Ready")
    ns.sh("both", "mkdir /data/inside && mount -t tmpfs inside /data/inside")
    assert f" {shared}/inside " in Path("/proc/self/mountinfo").read_text()


def test_read_only_is_of_the_mount_alone_unless_it_says_recursive(
    ns: Namespaced, shared: Path
) -> None:
    source = {"hostPath": {"path": str(shared)}}
    ns.apply(
        a_user("plain", source, readOnly=True),
        a_user("deep", source, readOnly=True, recursiveReadOnly="Enabled"),
    )
    for pod, below, said in (("plain", "rw", "Disabled"), ("deep", "ro", "Enabled")):
        ns.wait(f"pod/{pod}", "condition=Ready")
        lines = [line.split() for line in ns.sh(pod, "cat /proc/self/mountinfo").splitlines()]
        flags = {words[4]: words[5].split(",")[0] for words in lines}
        assert (flags["/data"], flags["/data/below"]) == ("ro", below)
        (shown, *_) = ns.get("pod", pod)["status"]["containerStatuses"][0]["volumeMounts"]
        assert shown["recursiveReadOnly"] == said


def test_a_tree_deeper_than_any_path_goes_with_its_pod_and_its_claim(ns: Namespaced) -> None:
    ns.apply(a_claim())
    pod = a_user("one", claimed())
    pod["spec"]["volumes"].append({"name": "scratch", "emptyDir": {}})
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "scratch", "mountPath": "/empty"})
    ns.apply(pod)
    ns.wait("pod/one", "condition=Ready")
    deep = "import os\nfor _ in range(2000): os.mkdir('ab'); os.chdir('ab')"
    for place in ("/data", "/empty", "/var/tmp"):
        ns.sh("one", f'cd {place} && python3 -c "{deep}"')
    (mine,) = ns.cluster.data_dir.glob(f"nodes/*/pods/{ns.get('pod', 'one')['metadata']['uid']}")
    volume = ns.out("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    ns.kubectl("delete", "pod/one", "pvc/data")
    eventually(lambda: not mine.exists() and not (storage_of(ns) / volume).exists())
    assert not list(ns.cluster.data_dir.glob(f"nodes/*/runtime/*/{mine.name}"))


def test_memory_is_a_tmpfs_of_that_size(ns: Namespaced) -> None:
    ns.apply(a_user("one", {"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}))
    ns.wait("pod/one", "condition=Ready")
    assert ns.sh("one", "stat -f -c '%T %S %b' /data") == "tmpfs 4096 1024"
    full = ns.sh("one", "dd if=/dev/zero of=/data/x bs=1M count=8 2>&1 || true")
    assert "No space left on device" in full


def test_a_users_sub_path_is_writable_for_whoever_may_write_to_the_volume(ns: Namespaced) -> None:
    pod = a_user("one", {"emptyDir": {}}, subPathExpr="$(WHO)/deep")
    pod["spec"]["containers"][0]["env"] = [{"name": "WHO", "value": "web"}]
    pod["spec"]["securityContext"] = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    ns.apply(pod)
    ns.wait("pod/one", "condition=Ready")
    ns.sh("one", "touch /data/mine")
    assert ns.sh("one", "stat -c '%u %g' /data/mine") == "1000 2000"


# ---- ways out ------------------------------------------------------------------------------------


def test_a_link_swapped_for_a_directory_leads_no_sub_path_out(ns: Namespaced) -> None:
    """One container makes directory and link trade places all the time, others start meanwhile."""
    swap = (
        "mkdir -p /v/a && cd /v && touch a/inside && ln -sfn / b && "
        "python3 -c 'import ctypes\nc = ctypes.CDLL(None)\nwhile True: "
        'c.renameat2(-100, b"/v/a", -100, b"/v/b", 2)\''
    )
    pod = a_sleeper("race", command=["sh", "-c", swap], volumeMounts=[mounted("/v")])
    victim = dict(
        a_sleeper()["spec"]["containers"][0],
        command=["sh", "-c", "ls -a /data; ls /data/etc 2>/dev/null && exit 7; exit 1"],
        volumeMounts=[mounted("/data", subPath="a")],
    )
    pod["spec"]["containers"] += [victim | {"name": f"victim-{n}"} for n in range(6)]
    pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    ns.apply(pod)

    def all_ended() -> bool:
        statuses = ns.get("pod", "race")["status"].get("containerStatuses", [])
        return sum(status["restartCount"] for status in statuses) >= 6

    eventually(all_ended, 60)
    for number in range(6):
        seen = ns.out("logs", "race", "-c", f"victim-{number}").split()
        assert not {"etc", "proc", "root"} & set(seen)


def mounted(path: str, **more: Any) -> Object:
    return {"name": "v", "mountPath": path, **more}


def test_a_volume_is_not_mounted_over_proc_by_way_of_a_link(ns: Namespaced) -> None:
    pod = a_sleeper("two", volumeMounts=[mounted("/v"), mounted("/v/link/sys", subPath="other")])
    first = {"name": "first", "image": "host", "volumeMounts": [mounted("/v")],
             "command": ["sh", "-c", "mkdir /v/other; ln -s /proc /v/link"]}  # fmt: skip
    pod["spec"]["initContainers"] = [first]
    pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    ns.apply(pod)

    def why() -> str:
        statuses = ns.get("pod", "two")["status"].get("containerStatuses") or [{}]
        state = (statuses[0].get("state") or {}).get("waiting") or {}
        return f"{state.get('reason')} {state.get('message')}"

    refusal = '"/v/link/sys" cannot be mounted because it is inside /proc'
    eventually(lambda: refusal in why(), 30)


def test_removing_a_pod_follows_no_link_out_of_its_volumes(ns: Namespaced, tmp_path: Path) -> None:
    (tmp_path / "keep").write_text("still here")
    pod = a_user("one", {"emptyDir": {}})
    ns.apply(pod)
    ns.wait("pod/one", "condition=Ready")
    ns.sh("one", f"ln -s {tmp_path} /data/a; ln -s / /data/root; ln -s ../../.. /data/up")
    uid = ns.get("pod", "one")["metadata"]["uid"]
    ns.kubectl("delete", "pod", "one")
    directory = next(ns.cluster.data_dir.glob("nodes/*/pods")) / uid
    eventually(lambda: not directory.exists())
    assert (tmp_path / "keep").read_text() == "still here"


def test_secrets_and_tokens_are_on_no_disk_of_the_node(ns: Namespaced) -> None:
    ns.kubectl("create", "secret", "generic", "s", "--from-literal=word=xyzzy-plugh")
    ns.apply(a_user("one", {"secret": {"secretName": "s", "defaultMode": 0o400}}))
    ns.wait("pod/one", "condition=Ready")
    assert ns.sh("one", "cat /data/word; stat -Lc ' %a %u' /data/word") == "xyzzy-plugh 400 0"
    uid = ns.get("pod", "one")["metadata"]["uid"]
    pods = next(ns.cluster.data_dir.glob("nodes/*/pods"))
    for directory in (pods / uid / "volumes").iterdir():
        points = Path("/proc/self/mountinfo").read_text()
        assert f" {directory} " in points
    assert pods.stat().st_mode & 0o777 == 0o700
