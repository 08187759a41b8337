"""What a change of a Node's status is called."""

from __future__ import annotations

from typing import Any

from kubelet.node_events import changes

Object = dict[str, Any]


def a_status(boot_id: str = "one", **conditions: str) -> Object:
    found = [{"type": type_, "status": value} for type_, value in conditions.items()]
    return {"conditions": found, "nodeInfo": {"bootID": boot_id}}


def test_only_what_has_changed_is_told() -> None:
    old = a_status(Ready="True", MemoryPressure="False")
    new = a_status(Ready="True", MemoryPressure="True")
    words = "Node web-1 status is now: NodeHasInsufficientMemory"
    assert list(changes("web-1", old, new)) == [("Normal", "NodeHasInsufficientMemory", words)]
    assert list(changes("web-1", new, new)) == []


def test_a_reboot_is_told() -> None:
    (event,) = changes("web-1", a_status("one"), a_status("two"))
    assert event == ("Warning", "Rebooted", "Node web-1 has been rebooted, boot id: two")


def test_a_new_node_tells_of_all_it_has() -> None:
    told = [
        reason
        for _, reason, _ in changes("web-1", {}, a_status(Ready="True", DiskPressure="False"))
    ]
    assert told == ["NodeHasNoDiskPressure", "NodeReady"]
