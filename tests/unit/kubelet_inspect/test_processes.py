"""What /proc tells of a process, and of one that has ended."""

from __future__ import annotations

import os
import subprocess

import pytest

from kubelet.inspect import processes
from kubelet.inspect.processes import Process


def test_capabilities_are_named() -> None:
    assert processes.capability_names("0000000000000401") == ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]
    assert processes.capability_names("8000000000000000") == ["CAP_63"]


def test_an_id_is_told_as_it_is_inside_a_user_namespace() -> None:
    mapping = [{"inside": 0, "outside": 100_000, "length": 65_536}]
    assert processes.inside(101_000, mapping) == 1000
    assert processes.inside(0, mapping) == -1


def test_a_process_is_told_with_its_namespaces_and_what_it_may() -> None:
    with Process(os.getpid()) as own:
        assert own.namespaces()["mnt"] == os.stat("/proc/self/ns/mnt").st_ino
        assert processes.identity(own)["uid"]["effective"] == os.geteuid()


def test_a_process_that_ends_while_it_is_read_is_no_other() -> None:
    child = subprocess.Popen(["sleep", "60"])
    with Process(child.pid) as process:
        child.kill()
        child.wait()
        with pytest.raises(ProcessLookupError):
            process.status()
    with pytest.raises(ProcessLookupError):
        Process(child.pid)
    assert list(processes.tree([child.pid])) == []
