"""A disk of a test's own: a file behind a loop device. And how fast one is, whosever."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaced import Namespaced

SIZE_BYTES = 64 << 20


@dataclass(frozen=True)
class Disk:
    path: str  # "/dev/loop3"

    @property
    def major(self) -> int:
        return os.major(os.stat(self.path).st_rdev)

    @property
    def minor(self) -> int:
        return os.minor(os.stat(self.path).st_rdev)


@contextmanager
def loop_disk(file: Path, size_bytes: int = SIZE_BYTES) -> Iterator[Disk]:
    """Skips the test where the kernel has no loop devices."""
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this machine has no loop devices")
    with open(file, "wb") as image:
        os.posix_fallocate(image.fileno(), 0, size_bytes)
    attach = ["losetup", "--find", "--show", str(file)]
    path = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield Disk(path)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


@contextmanager
def mounted(disk: Disk, directory: Path) -> Iterator[Path]:
    """With a file system of its own on it."""
    subprocess.run(["mkfs.ext4", "-q", "-F", disk.path], check=True)
    directory.mkdir()
    subprocess.run(["mount", disk.path, str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def bytes_per_second(ns: Namespaced, dd: str, runs: int = 1) -> float:
    """The median of what `dd` achieves in the Pod "web"; it should go past the page cache."""
    rates = []
    for _ in range(runs):
        said = ns.sh("web", f"dd {dd} 2>&1")
        found = re.search(r"(\d+) bytes .* ([\d.]+) s,", said)
        assert found, said
        rates.append(int(found[1]) / float(found[2]))
    return statistics.median(rates)
