"""Faults in a whole cluster: what goes wrong, and what does not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.support.ui import Select

from kubelet.disks import disk_below
from podium.cli import processes
from tests.support.browser import PHONE, WIDE, Page, chromium, is_there
from tests.support.cluster import Cluster, ContainerCgroups, running_cluster
from tests.support.disk import bytes_per_second
from tests.support.namespaced import Namespaced, a_sleeper


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("lab"), "--lab") as cluster:
        yield cluster
        cluster.podium("fault", "undo", "--all", check=False)


def pid_of(cluster: Cluster, name: str) -> int:
    found = processes.read_components(cluster.data_dir)
    return next(one.pid for one in found if one.name == name)


def is_ready(cluster: Cluster, value: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return cluster.kubectl("get", "node", cluster.nodes[0], "-o", path).stdout == value


def test_without_lab_a_fault_is_refused(cluster: Cluster) -> None:
    done = cluster.podium("fault", "kill", "kubelet", check=False)
    assert done.returncode == 1
    assert "faults are for a cluster that was started with podium up --lab" in done.stderr


@pytest.mark.parametrize("component", ["kubelet", "controllers", "apiserver"])
def test_a_component_is_killed_and_comes_back(lab: Cluster, component: str) -> None:
    before = pid_of(lab, component)
    told = lab.podium("fault", "kill", component).stdout
    assert f"killed {component} (pid {before})" in told
    lab.until(lambda: pid_of(lab, component) not in (0, before))
    lab.until(lambda: is_ready(lab, "True"))


def test_what_cannot_be_killed_is_told(lab: Cluster) -> None:
    done = lab.podium("fault", "kill", "kublet", check=False)
    assert done.returncode == 1
    assert 'component "kublet" does not run; there are apiserver, controllers' in done.stderr


def test_a_node_that_is_cut_off_keeps_its_pods_running(lab: Cluster) -> None:
    lab.kubectl("run", "web", "--image=host", "--command", "--", "sleep", "infinity")
    lab.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    done = lab.podium("fault", "cut-off", lab.nodes[0], "--for", "10m")
    assert "podium fault undo cut-off-" in done.stdout
    logs = lab.kubectl("logs", "web", check=False)
    assert "is cut off by a fault" in logs.stderr
    lab.kubectl("run", "later", "--image=host", "--command", "--", "sleep", "infinity")
    table = lab.podium("fault", "list").stdout
    assert "CutOff" in table
    assert "Active" in table
    lab.podium("fault", "undo", "--all")
    lab.kubectl("wait", "--for=condition=Ready", "pod/later", "pod/web", "--timeout=60s")
    path = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert lab.kubectl("get", "pod", "web", "-o", path).stdout == "0"


# A slow disk

RATE = 1 << 20
WRITE = "if=/dev/zero of=/file bs=64k count=16 oflag=direct conv=notrunc"
READ = "if=/file of=/dev/null bs=64k count=16 iflag=direct"


@pytest.fixture(scope="module")
def copier(lab: Cluster) -> Iterator[Namespaced]:
    """A Pod "web" whose root is on a real disk."""
    if disk_below(str(lab.data_dir)) is None:
        pytest.skip("the cluster is on no disk")
    ns = Namespaced(lab, "disk")
    lab.kubectl("create", "namespace", ns.name)
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    yield ns
    lab.kubectl("delete", "namespace", ns.name, "--wait=false")


def cgroups_of(ns: Namespaced, name: str) -> ContainerCgroups:
    ns.wait(f"pod/{name}", "condition=Ready")
    return ns.cluster.container_cgroups(ns.get("pod", name))


def is_slow(found: ContainerCgroups) -> bool:
    """Whether the kernel holds it to RATE: on v1 its own cgroup, on v2 `kubepods`."""
    files = [found.read("blkio.throttle.write_bps_device", "io.max", above=n) for n in (0, 3)]
    return any(str(RATE) in text for text in files)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_slow_disk_slows_reads_and_writes_until_that_is_undone(copier: Namespaced) -> None:
    lab = copier.cluster
    assert bytes_per_second(copier, WRITE) > 3 * RATE
    lab.podium("fault", "slow-disk", lab.nodes[0], "--rate", "1Mi", "--for", "10m")
    assert bytes_per_second(copier, WRITE) == pytest.approx(RATE, rel=0.2)
    assert bytes_per_second(copier, READ) == pytest.approx(RATE, rel=0.2)
    copier.apply(a_sleeper("later"))
    web, later = cgroups_of(copier, "web"), cgroups_of(copier, "later")
    lab.until(lambda: is_slow(later))
    lab.podium("fault", "undo", "--all")
    lab.until(lambda: not is_slow(web) and not is_slow(later))
    assert bytes_per_second(copier, READ) > 3 * RATE


def test_a_slow_disk_ends_in_time_while_the_api_server_does_not_answer(copier: Namespaced) -> None:
    lab, web = copier.cluster, cgroups_of(copier, "web")
    lab.podium("fault", "slow-disk", lab.nodes[0], "--for", "2s")
    with stopped(lab.pids()["apiserver"]):
        assert is_slow(web)
        lab.until(lambda: not is_slow(web))


def test_a_slow_disk_does_not_outlive_a_kubelet_that_was_killed(copier: Namespaced) -> None:
    lab, web = copier.cluster, cgroups_of(copier, "web")
    lab.podium("fault", "slow-disk", lab.nodes[0], "--for", "10m")
    with stopped(lab.supervisor_pid()):
        os.kill(pid_of(lab, "kubelet"), signal.SIGKILL)
        lab.podium("fault", "undo", "--all")
        assert is_slow(web)
    lab.until(lambda: not is_slow(web))


# On the page


def choose(page: Page, type_: str) -> None:
    page.click_text("Break something")
    Select(page.find("dialog select")).select_by_value(type_)


def misfits(page: Page, name: str) -> list[str]:
    """On a phone and on a wide screen."""
    found = []
    for width, height in (PHONE, WIDE):
        page.size(width, height)
        page.screenshot(f"page-{name}-{width}")
        found += page.misfits()
    return found


@pytest.mark.skipif(not is_there(), reason="needs chromium and chromedriver (.ci/test-tools)")
@pytest.mark.filterwarnings("ignore::ResourceWarning:selenium.*")
def test_a_fault_is_made_seen_and_ended_on_the_page(copier: Namespaced, tmp_path: Path) -> None:
    lab, web = copier.cluster, cgroups_of(copier, "web")
    with chromium(tmp_path) as page:
        page.colours("light")  # and nothing moves
        page.login(lab)
        page.until(lambda: page.text("#connection") == "live")
        page.open("/ui/objects/faults.debug.podium.dev")
        choose(page, "CutOff")
        page.click_text("Break it", "dialog button")
        page.shows("spec.target: Required value: must name a node", "#toasts")
        choose(page, "SlowDisk")
        page.find("dialog input[name=target]").send_keys(lab.nodes[0])
        assert misfits(page, "dialog-fault") + page.violations() == []
        page.click_text("Break it", "dialog button")
        page.until(lambda: is_slow(web))
        page.shows("Active", ".virtual tbody")
        assert misfits(page, "faults-active") == []
        made = "jsonpath={.items[?(@.status.phase=='Active')].metadata.name}"
        page.click_text(lab.kubectl("get", "faults", "-o", made).stdout, ".virtual a")
        page.shows("Bytes a second")
        assert misfits(page, "fault") == []
        page.click_text("Delete")
        page.click_text("Delete", "dialog button")
        page.shows("has just been deleted")
        page.until(lambda: not is_slow(web))
        assert page.errors() == []
