"""What a Pod may use of the machine: read from the kernel's files of real Pods, or measured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import ContainerCgroups
from tests.support.disk import bytes_per_second, loop_disk, mounted
from tests.support.namespaced import Namespaced, a_script, a_sleeper

MI = 1 << 20
LAST_CPU = str(max(os.sched_getaffinity(0)))
RUNS, RUN_S = 3, 2.5  # what is measured is time itself


def annotated(pod: dict[str, Any], **annotations: str) -> dict[str, Any]:
    pod["metadata"]["annotations"] = annotations
    return pod


def cgroups_of(ns: Namespaced, name: str) -> ContainerCgroups:
    ns.wait(f"pod/{name}", "condition=Ready")
    return ns.cluster.container_cgroups(ns.get("pod", name))


def wait_for_event(ns: Namespaced, name: str, text: str) -> None:
    def look() -> bool:
        events = ns.items("events", f"--field-selector=involvedObject.name={name}")
        return any(text in event["message"] for event in events)

    ns.cluster.until(look)


# CPU


def test_a_container_runs_only_on_the_cpus_that_its_annotation_names(ns: Namespaced) -> None:
    ns.apply(annotated(a_sleeper(), **{"cpuset.podium.dev/main": LAST_CPU}))
    found = cgroups_of(ns, "web")
    assert found.read("cpuset.cpus", "cpuset.cpus") == LAST_CPU
    assert ns.sh("web", "nproc") == "1"
    assert os.sched_getaffinity(found.pid) == {int(LAST_CPU)}


def test_a_pod_that_wants_cpus_which_are_not_there_is_rejected(ns: Namespaced) -> None:
    ns.apply(annotated(a_sleeper(), **{"cpuset.podium.dev/main": "4000"}))
    ns.wait("pod/web", "jsonpath={.status.phase}=Failed")
    status = ns.get("pod", "web")["status"]
    assert status["reason"] == "UnexpectedAdmissionError"
    assert "cpuset.podium.dev/main: CPUs 4000 were asked for" in status["message"]


def test_two_pods_of_weight_one_to_three_share_a_cpu_one_to_three(ns: Namespaced) -> None:
    for name, cpu in (("one", "100m"), ("three", "300m")):
        wanted = {"requests": {"cpu": cpu}}
        pod = a_script(name, "while :; do :; done", resources=wanted)
        ns.apply(annotated(pod, **{"cpuset.podium.dev/main": LAST_CPU}))
    one, three = (cgroups_of(ns, name) for name in ("one", "three"))
    before = [cpu_ns(pod) for pod in (one, three)]
    time.sleep(2 * RUN_S)
    used = [cpu_ns(pod) - was for pod, was in zip((one, three), before, strict=True)]
    assert used[1] / used[0] == pytest.approx(3, rel=0.1)


def cpu_ns(cgroups: ContainerCgroups) -> int:
    text = cgroups.read("cpuacct.usage", "cpu.stat")
    return int(text) if text.isdigit() else int(text.split()[1]) * 1000


def test_burstable_pods_have_the_shares_of_their_requests_together(ns: Namespaced) -> None:
    def shares() -> int:
        text = found.read("cpu.shares", "cpu.weight", above=2)
        return int(text)

    ns.apply(a_sleeper("one", resources={"requests": {"cpu": "100m"}}))
    found = cgroups_of(ns, "one")
    alone = int(found.read("cpu.shares", "cpu.weight"))
    ns.cluster.until(lambda: shares() == alone)  # once the Pods of other tests have gone
    ns.apply(a_sleeper("two", resources={"requests": {"cpu": "400m"}}))
    ns.wait("pod/two", "condition=Ready")
    assert shares() > alone
    ns.kubectl("delete", "pod", "two")
    ns.cluster.until(lambda: shares() == alone)


# Memory and processes


def test_a_memory_request_is_kept_back_and_the_limit_is_one_without_swap(ns: Namespaced) -> None:
    wanted = {"requests": {"memory": "48Mi"}, "limits": {"memory": "64Mi"}}
    ns.apply(a_sleeper(resources=wanted))
    found = cgroups_of(ns, "web")
    assert found.read("memory.soft_limit_in_bytes", "memory.low") == str(48 * MI)
    assert found.read("memory.soft_limit_in_bytes", "memory.low", above=1) == str(48 * MI)
    assert found.read("memory.limit_in_bytes", "memory.max") == str(64 * MI)
    assert found.read("memory.memsw.limit_in_bytes", "memory.swap.max") in (str(64 * MI), "0")


def test_processes_are_limited_for_the_pod_and_by_annotation_for_a_container(
    ns: Namespaced,
) -> None:
    ns.apply(annotated(a_sleeper(), **{"pids.podium.dev/main": "30"}))
    found = cgroups_of(ns, "web")
    assert found.read("pids.max", "pids.max") == "30"
    assert found.read("pids.max", "pids.max", above=1) == "1024"


# Disks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory on a disk of its own."""
    directory = tmp_path_factory.mktemp("disk")
    with loop_disk(directory / "image") as disk, mounted(disk, directory / "mounted") as found:
        yield found


def a_copier(data: Path, **annotations: str) -> dict[str, Any]:
    pod = annotated(a_sleeper(), **annotations)
    pod["spec"]["volumes"] = [{"name": "data", "hostPath": {"path": str(data)}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return pod


@pytest.mark.parametrize("place", ["io.podium.dev/{}", "{}.io.podium.dev/main"])
def test_bytes_written_to_a_volume_are_limited_for_a_pod_or_a_container(
    ns: Namespaced, data: Path, place: str
) -> None:
    ns.apply(a_copier(data, **{place.format("write-bps"): "8Mi"}))
    ns.wait("pod/web", "condition=Ready")
    blocks = int(8 * MI * RUN_S) // (256 << 10)
    dd = f"if=/dev/zero of=/data/f bs=256k count={blocks} oflag=direct conv=notrunc"
    assert bytes_per_second(ns, dd, RUNS) == pytest.approx(8 * MI, rel=0.1)


def test_reads_of_a_volume_are_limited_in_number(ns: Namespaced, data: Path) -> None:
    (data / "f").write_bytes(b"x" * (8 * MI))
    ns.apply(a_copier(data, **{"read-iops.io.podium.dev/main": "200"}))
    ns.wait("pod/web", "condition=Ready")
    count = int(200 * RUN_S)
    dd = f"if=/data/f of=/dev/null bs=4k count={count} iflag=direct"
    assert bytes_per_second(ns, dd, RUNS) == pytest.approx(200 * 4096, rel=0.1)


def test_the_root_of_a_container_has_the_limits_as_well(ns: Namespaced) -> None:
    annotations = {"write-bps.io.podium.dev/main": "5Mi", "weight.io.podium.dev/main": "50"}
    if not _has_io_weight():
        del annotations["weight.io.podium.dev/main"]
    ns.apply(annotated(a_sleeper(), **annotations))
    found = cgroups_of(ns, "web")
    limits = found.read("blkio.throttle.write_bps_device", "io.max")
    assert str(5 * MI) in limits
    if _has_io_weight():
        if not any(map(_is_bfq, Path("/sys/block").glob("*/queue/scheduler"))):
            wait_for_event(ns, "web", "heeds no I/O weights")
        assert "50" in found.read("blkio.bfq.weight", "io.weight")


def _has_io_weight() -> bool:
    return any(Path("/sys/fs/cgroup").glob("blkio/*/blkio.bfq.weight")) or any(
        Path("/sys/fs/cgroup").glob("*/io.weight")
    )


def _is_bfq(scheduler: Path) -> bool:
    return "[bfq]" in scheduler.read_text()


# Devices


def test_a_harmless_device_is_handed_out_and_no_other(ns: Namespaced) -> None:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this machine has no /dev/fuse")
    ns.apply(annotated(a_sleeper("fuse"), **{"devices.podium.dev/main": "/dev/fuse:rw"}))
    ns.wait("pod/fuse", "condition=Ready")
    assert ns.sh("fuse", "exec 3<>/dev/fuse && echo opened") == "opened"
    ns.apply(annotated(a_sleeper("kmsg"), **{"devices.podium.dev/main": "/dev/kmsg"}))
    wait_for_event(ns, "kmsg", "device /dev/kmsg is not handed out by this node")
    waiting = ns.get("pod", "kmsg")["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"


# What is refused


def test_an_annotation_that_makes_no_sense_is_refused_by_the_api(ns: Namespaced) -> None:
    pod = annotated(a_sleeper(), **{"io.podium.dev/read-bps": "fast"})
    with pytest.raises(AssertionError, match="must be a quantity such as 10Mi"):
        ns.apply(pod)


def test_resources_of_a_whole_pod_are_dropped_as_long_as_they_are_alpha(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["spec"]["resources"] = {"limits": {"cpu": "1"}}
    ns.apply(pod)
    assert "resources" not in ns.get("pod", "web")["spec"]
