"""Directories in directories, deeper than a path can say."""

from __future__ import annotations

import os
from pathlib import Path


def make_deep(root: Path, depth: int, name: str = "d") -> None:
    """`depth` directories, each in the one before, and a file in the last."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
