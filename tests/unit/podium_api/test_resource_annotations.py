"""Annotations that ask for resources: what can be read, and what is said of what cannot."""

from __future__ import annotations

import pytest

from podium.api import resource_annotations as annotations
from podium.api.resource_annotations import DeviceRequest, Io


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", {0}), ("0-2", {0, 1, 2}), ("3, 0-1", {0, 1, 3})]
)
def test_cpus_are_given_as_a_list_of_ranges(text: str, numbers: set[int]) -> None:
    assert annotations.cpus(text) == numbers


def test_a_list_of_cpus_is_written_as_short_as_it_can_be() -> None:
    assert annotations.cpu_list({4, 0, 1, 2, 6}) == "0-2,4,6"


def test_devices_have_permissions_or_all_of_them() -> None:
    assert annotations.device_requests("/dev/fuse, /dev/net/tun:rw") == [
        DeviceRequest("/dev/fuse", "rwm"), DeviceRequest("/dev/net/tun", "rw"),
    ]  # fmt: skip


def test_io_is_asked_for_a_pod_or_for_one_container() -> None:
    found = {
        "io.podium.dev/read-bps": "10Mi", "io.podium.dev/weight": "500",
        "write-iops.io.podium.dev/web": "30", "example.com/other": "x",
    }  # fmt: skip
    assert annotations.io_of(found) == Io(read_bps=10 << 20, weight=500)
    assert annotations.io_of(found, "web") == Io(write_iops=30)
    assert annotations.io_of(found, "other") == Io()
    assert annotations.speaks_of_io(found)
    assert not annotations.speaks_of_io({"example.com/other": "x"})


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("cpuset.podium.dev/web", "2-1", "must be a list of CPUs"),
        ("cpuset.podium.dev/web", "", "must be a list of CPUs"),
        ("cpuset.podium.dev/db", "0", 'the pod has no container "db"'),
        ("pids.podium.dev/web", "0", "must be between 1 and"),
        ("devices.podium.dev/web", "/dev/../etc/passwd", "must be a list of device nodes"),
        ("devices.podium.dev/web", "/etc/passwd", "must be a list of device nodes"),
        ("io.podium.dev/read-bps", "fast", "must be a quantity"),
        ("io.podium.dev/read-bps", "0", "must be greater than 0"),
        ("io.podium.dev/reads", "1", "there is no such limit; supported: read-bps, "),
        ("weight.io.podium.dev/web", "1001", "must be between 1 and 1000, inclusive"),
    ],
)
def test_what_cannot_be_acted_on_is_told(key: str, value: str, why: str) -> None:
    ((found_key, found_value, problem),) = annotations.problems({key: value}, {"web"})
    assert (found_key, found_value) == (key, value)
    assert problem.startswith(why)


def test_other_annotations_are_nobodys_business() -> None:
    found = {"example.com/cpuset": "x", "cpuset": "x", "podium.dev/paused": "true"}
    assert list(annotations.problems(found, {"web"})) == []
