"""Who has which address: kubelet/network/addresses.py, on a real directory."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kubelet.network.addresses import AddressPool, mac_of
from kubelet.network.errors import NetworkError, NoAddressLeft


def a_pool(tmp_path: Path, subnet: str = "10.244.0.0/24") -> AddressPool:
    return AddressPool(subnet, str(tmp_path / "addresses"))


def test_the_first_pod_gets_the_address_after_the_gateways(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    assert (pool.gateway, pool.take("uid-1"), pool.take("uid-2")) == (
        "10.244.0.1",
        "10.244.0.2",
        "10.244.0.3",
    )


def test_the_same_owner_keeps_its_address_over_a_restart(tmp_path: Path) -> None:
    before = a_pool(tmp_path).take("uid-1")
    assert a_pool(tmp_path).take("uid-1") == before


def test_the_state_can_be_read_with_ls(tmp_path: Path) -> None:
    a_pool(tmp_path).take("uid-1")
    assert os.readlink(tmp_path / "addresses" / "10.244.0.2") == "uid-1"


def test_an_address_just_freed_is_not_given_to_the_next(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    pool.take("uid-1")
    freed = pool.take("uid-2")
    pool.release("uid-2")
    assert pool.take("uid-3") != freed
    pool.release("uid-1")
    assert (
        a_pool(tmp_path).take("uid-4") == "10.244.0.5"
    )  # goes on after the newest, not at the start


def test_a_full_subnet_says_so_and_has_room_again_when_one_leaves(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, "192.168.7.0/29")
    given = {pool.take(f"uid-{number}") for number in range(5)}
    assert given == {f"192.168.7.{last}" for last in range(2, 7)}
    with pytest.raises(NoAddressLeft, match=r"no address left in 192.168.7.0/29: all 5 are taken"):
        pool.take("uid-9")
    pool.release("uid-3")
    assert pool.take("uid-9") == "192.168.7.5"


def test_releasing_twice_is_harmless(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    pool.take("uid-1")
    pool.release("uid-1")
    pool.release("uid-1")
    pool.release("never-seen")
    assert pool.owners() == {}


@pytest.mark.parametrize("subnet", ["10.0.0.1/24", "fd00::/64", "nonsense", "10.0.0.0/30", ""])
def test_what_is_no_usable_subnet_is_refused(tmp_path: Path, subnet: str) -> None:
    with pytest.raises(NetworkError):
        a_pool(tmp_path, subnet)


def test_what_else_lies_in_the_directory_is_left_alone(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    directory = tmp_path / "addresses"
    (directory / "10.244.0.2").write_text("somebody's notes")
    (directory / "10.99.0.2").symlink_to("of-another-subnet")
    assert pool.take("uid-1") == "10.244.0.3"
    assert pool.owners() == {"uid-1": "10.244.0.3"}
    assert (directory / "10.244.0.2").read_text() == "somebody's notes"


def test_many_threads_never_get_the_same_address(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    with ThreadPoolExecutor(16) as threads:
        given = list(threads.map(pool.take, [f"uid-{number}" for number in range(120)]))
    assert len(set(given)) == 120


def _take_many(directory: str, name: str) -> list[str]:
    pool = AddressPool("10.244.0.0/24", directory)
    return [pool.take(f"{name}-{number}") for number in range(40)]


def test_many_processes_never_get_the_same_address(tmp_path: Path) -> None:
    directory = str(tmp_path / "addresses")
    work = [(directory, name) for name in "abcd"]
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        given = [ip for ips in processes.starmap(_take_many, work) for ip in ips]
    assert len(set(given)) == 160
    assert len(a_pool(tmp_path).owners()) == 160


def test_a_release_by_another_process_is_seen(tmp_path: Path) -> None:
    kubelet, teardown = a_pool(tmp_path), a_pool(tmp_path)
    kubelet.take("uid-1")
    teardown.release("uid-1")
    assert kubelet.owners() == {}


def test_a_release_by_another_process_within_a_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    kubelet, teardown = a_pool(tmp_path), a_pool(tmp_path)
    kubelet.take("uid-1")
    before = os.stat(tmp_path / "addresses")
    teardown.release("uid-1")
    os.utime(tmp_path / "addresses", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kubelet.owners() == {}


def test_a_hardware_address_follows_from_the_address() -> None:
    assert mac_of("10.244.0.5") == "0a:58:0a:f4:00:05"


class PoolMachine(RuleBasedStateMachine):
    """Takes, releases and restarts in any order against a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.expected: dict[str, str] = {}
        self.restart()

    @rule()
    def restart(self) -> None:
        self.pool = AddressPool("10.9.9.0/28", self.directory)

    @rule(owner=st.sampled_from([f"uid-{number}" for number in range(16)]))
    def take(self, owner: str) -> None:
        if owner not in self.expected and len(self.expected) == 13:
            with pytest.raises(NoAddressLeft):
                self.pool.take(owner)
            return
        ip = self.pool.take(owner)
        assert self.expected.setdefault(owner, ip) == ip

    @rule(owner=st.sampled_from([f"uid-{number}" for number in range(16)]))
    def release(self, owner: str) -> None:
        self.pool.release(owner)
        self.expected.pop(owner, None)

    @invariant()
    def the_pool_and_its_directory_agree(self) -> None:
        assert self.pool.owners() == self.expected
        assert len(set(self.expected.values())) == len(self.expected)
        assert set(os.listdir(self.directory)) == set(self.expected.values())

    def teardown(self) -> None:
        shutil.rmtree(self.directory)
        os.unlink(f"{self.directory}.lock")


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
