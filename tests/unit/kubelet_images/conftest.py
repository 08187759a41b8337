"""A store in a directory of its own, and a layer unpacked on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.images import ImageStore


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "images"))
