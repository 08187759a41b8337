"""Statistics without a kernel to ask: rates, disk use, and what /proc says."""

from __future__ import annotations

import os
from pathlib import Path

from kubelet.stats import host
from kubelet.stats.cpu_rates import CpuRates, Rates, Reading
from kubelet.stats.disk_usage import DiskUsage, Usage, count

SECOND = 1_000_000_000


def a_reading(at: float, **used_s: float) -> Reading:
    return Reading(at, {name: int(used * SECOND) for name, used in used_s.items()})


def test_a_rate_is_the_difference_over_the_time_between() -> None:
    rates = Rates(a_reading(100, web=7), a_reading(110, web=12))
    assert rates.nano_cores("web") == SECOND // 2


def test_what_is_younger_than_the_first_reading_counts_from_its_start() -> None:
    rates = Rates(a_reading(100), a_reading(110, web=1))
    assert rates.nano_cores("web", started_at=106) == SECOND // 4
    assert rates.nano_cores("web") == 0


def test_a_counter_that_went_back_is_no_negative_rate() -> None:
    assert Rates(a_reading(100, web=7), a_reading(110, web=1)).nano_cores("web") == 0


def test_the_first_reading_has_nothing_to_be_compared_with() -> None:
    rates = CpuRates()
    assert rates.base(100) is None
    rates.keep(a_reading(100))
    assert rates.base(100.1) is None
    assert rates.base(161) is None


def test_readings_are_compared_over_some_seconds_when_there_are_any() -> None:
    rates = CpuRates()
    for at in (100, 101, 106, 112):
        rates.keep(a_reading(at))
    found = [rates.base(now) for now in (113, 118, 130)]
    assert [base.at for base in found if base] == [106, 112, 112]


def test_disk_use_is_counted_in_blocks_and_inodes_and_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "dir" / "file", tmp_path / "again")
    os.symlink("/", tmp_path / "away")
    found = count(str(tmp_path))
    assert found.inodes_used == 4
    assert 100_000 <= found.used_bytes < 200_000
    assert count(str(tmp_path / "gone")) == Usage(0, 0)


def test_an_answer_is_kept_for_a_while(tmp_path: Path) -> None:
    disk = DiskUsage()
    before = disk.of(str(tmp_path))
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert disk.of(str(tmp_path)) == before
    assert count(str(tmp_path)).inodes_used == before.inodes_used + 1


def test_interfaces_are_read_without_the_loopback() -> None:
    text = (
        "Inter-|   Receive        |  Transmit\n face |bytes packets errs drop …\n"
        "    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
        "  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"
    )
    assert host.interfaces(text) == (host.Interface("eth0", 1, 2, 3, 4, 5, 6, 7, 8),)
    assert host.interfaces("") == ()


def test_the_machine_and_this_process_can_be_read() -> None:
    memory, own = host.memory(), host.own()
    assert 0 < memory.working_set_bytes <= memory.usage_bytes < memory.total_bytes
    assert memory.available_bytes == memory.total_bytes - memory.working_set_bytes
    assert host.cpu_used_ns() > own.cpu_used_ns > 0
    assert own.started_at > host.booted_at() > 0
