"""Files of a ConfigMap, Secret or downward API volume, replaced all at once.

Room kubelet; called by volumes.py. The layout is Kubernetes': each file is a link into `..data`,
which is a link to a directory that is never changed, only replaced. A reader sees the old files or
the new ones, never some of each. They belong to whom the directory belongs: in a user namespace on
an old kernel that is not root. Source: Kubernetes `pkg/volume/util/atomic_writer.go`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

READABLE_BY_GROUP = 0o440


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int
    owner: int | None = None  # uid; None: root


def write_files(directory: Path, files: Mapping[str, File], group: int | None = None) -> bool:
    """Make the directory hold exactly these, by relative path; False when it did already. `group`
    is the Pod's fsGroup."""
    current = _current(directory)
    if current is not None and _holds(current, files, group):
        return False
    fresh = directory / f"..{os.urandom(8).hex()}"
    fresh.mkdir(mode=0o755)
    _give(fresh, directory)
    for name, file in files.items():
        _write(fresh, name, file, group)
    link = directory / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(directory / "..data")
    _link(directory, {name.split("/", 1)[0] for name in files})
    for old in directory.iterdir():
        if old.name.startswith("..") and old.name not in ("..data", fresh.name):
            shutil.rmtree(old)
    return True


def _current(directory: Path) -> Path | None:
    try:
        return directory / os.readlink(directory / "..data")
    except FileNotFoundError:
        return None


def _holds(directory: Path, files: Mapping[str, File], group: int | None) -> bool:
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return found == set(files) and all(
        (directory / name).stat().st_mode & 0o7777 == _mode(file, group)
        and (directory / name).read_bytes() == file.content
        and (directory / name).stat().st_uid == directory.stat().st_uid + (file.owner or 0)
        for name, file in files.items()
    )


def _mode(file: File, group: int | None) -> int:
    return file.mode if group is None else file.mode | READABLE_BY_GROUP


def _write(root: Path, name: str, file: File, group: int | None) -> None:
    path = root / name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_bytes(file.content)
    _give(path, root, file.owner or 0)
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(_mode(file, group))


def _give(path: Path, owner_of: Path, owner: int = 0) -> None:
    """`owner` counts from the directory's, who is root in the Pod's user namespace."""
    status = owner_of.stat()
    os.chown(path, status.st_uid + owner, status.st_gid)


def _link(directory: Path, tops: set[str]) -> None:
    """What a reader sees; links to files that are no more go last."""
    for top in tops:
        if not (directory / top).is_symlink():
            (directory / top).symlink_to(f"..data/{top}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
