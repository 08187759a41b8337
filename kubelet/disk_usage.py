"""What a directory takes of its disk. Room kubelet; for ephemeral-storage limits and statistics."""

from __future__ import annotations

import os


def disk_usage(directory: str) -> int:
    """Bytes of all blocks below it, each inode counted once, nothing of what is mounted inside and
    nothing behind links; 0 if it is not there. About 2 µs for each file."""
    try:
        root = os.lstat(directory)
    except FileNotFoundError:
        return 0
    seen: set[int] = set()
    total, waiting = root.st_blocks, [directory]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed while we look
        with entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if found.st_dev != root.st_dev or found.st_ino in seen:
                    continue
                if found.st_nlink > 1:
                    seen.add(found.st_ino)
                total += found.st_blocks
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return total * 512
