"""Huge pages, on a machine that sets some aside: a cluster of its own, which sees them at start."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import running_cluster
from tests.support.namespaced import Namespaced, a_sleeper

POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
PAGES = 4
WRITE = """python3 -c '
import mmap, os, sys
fd = os.open("/huge/f", os.O_CREAT | os.O_RDWR)
size = int(sys.argv[1]) << 21
os.ftruncate(fd, size)
memory = mmap.mmap(fd, size)
for at in range(0, size, 1 << 21):
    memory[at] = 1
print("written")
' """


def _controls_huge_pages() -> bool:
    lists = ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers")
    found = [Path(path).read_text().split() for path in lists if Path(path).exists()]
    return Path("/sys/fs/cgroup/hugetlb").exists() or any("hugetlb" in names for names in found)


@pytest.fixture(scope="module")
def ns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespaced]:
    if not _controls_huge_pages():
        pytest.skip("no cgroup here controls huge pages")
    before = POOL.read_text()
    with contextlib.suppress(OSError):
        POOL.write_text(str(PAGES))
    try:
        if int(POOL.read_text()) < PAGES:
            pytest.skip("this machine has no huge pages to set aside")
        with running_cluster(tmp_path_factory.mktemp("huge")) as cluster:
            yield Namespaced(cluster, "default")
    finally:
        POOL.write_text(before)


def test_huge_pages_are_the_nodes_the_schedulers_and_the_containers(ns: Namespaced) -> None:
    assert ns.items("nodes")[0]["status"]["allocatable"]["hugepages-2Mi"] == f"{2 * PAGES}Mi"
    pod = a_sleeper(resources={"limits": {"hugepages-2Mi": "4Mi", "memory": "64Mi"}})
    pod["spec"]["volumes"] = [{"name": "huge", "emptyDir": {"medium": "HugePages"}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "huge", "mountPath": "/huge"}]
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", f"{WRITE} 2") == "written"
    assert "written" not in ns.sh("web", f"{WRITE} 3 2>&1 || true")
    greedy = a_sleeper("greedy", resources={"limits": {"hugepages-2Mi": "6Mi", "cpu": "1m"}})
    ns.apply(greedy)
    ns.wait("pod/greedy", "condition=PodScheduled=False")
    why = ns.get("pod", "greedy")["status"]["conditions"][0]["message"]
    assert "Insufficient hugepages-2Mi" in why


def test_who_has_not_asked_gets_no_huge_pages(ns: Namespaced) -> None:
    ns.apply(a_sleeper("plain"))
    ns.wait("pod/plain", "condition=Ready")
    ask = "import mmap; m = mmap.mmap(-1, 1 << 21, mmap.MAP_PRIVATE | 0x40020); m[0] = 1"
    assert "done" not in ns.sh("plain", f"python3 -c '{ask}' 2>&1 && echo done || true")
