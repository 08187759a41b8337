"""Reading container logs: tail, since, follow, over rotated files.

Room kubelet, called by server.py. A log is `<attempt>.log` and, once rotated,
`<attempt>.log.<time>` beside it, in CRI format: "<RFC 3339 nano> stdout|stderr F|P <text>". P
means that the line goes on.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

BLOCK = 64 * 1024
FOLLOW_CHECK_S = 1.0  # inotify wakes us at once; this bounds what a lost event costs
_IN_MODIFY, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x40, 0x80, 0x100


@dataclass(frozen=True)
class LogOptions:
    """The query of GET …/log. tail_lines None: all of them."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None


def options_from(query: dict[str, str]) -> LogOptions:
    """Raises ValueError for a number or time that is none."""
    since = None
    if "sinceSeconds" in query:
        since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
    elif "sinceTime" in query:
        since = datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00"))
    return LogOptions(
        follow=query.get("follow") in ("true", "1"),
        timestamps=query.get("timestamps") in ("true", "1"),
        tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
        since=since,
        limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
    )


def read_log(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """Pieces of text as the container wrote it. With `follow`, until `is_over()` says that the
    container has ended and everything has been read."""
    left = options.limit_bytes
    for piece in _text(path, options, is_over):
        allowed = piece[:left]  # all of it when there is no limit
        if left is not None:
            left -= len(allowed)
        if allowed:
            yield allowed
        if left == 0:
            return


def _text(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> Iterator[bytes]:
    is_new_line = True
    for line in _lines(path, options, is_over):
        stamp, _, rest = line.partition(b" ")
        _, _, rest = rest.partition(b" ")
        flag, _, text = rest.partition(b" ")
        if options.since is not None and _moment(stamp) < options.since:
            continue
        prefix = stamp + b" " if options.timestamps and is_new_line else b""
        is_new_line = flag != b"P"
        yield prefix + text + (b"\n" if is_new_line else b"")


def _moment(stamp: bytes) -> datetime:
    """Nanoseconds are more than datetime keeps."""
    text = stamp.decode(errors="replace")
    head, _, fraction = text.rstrip("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _lines(path: Path, options: LogOptions, is_over: Callable[[], bool]) -> Iterator[bytes]:
    files = _open_all(path)
    try:
        if options.tail_lines is not None:
            _seek_to_tail(files, options.tail_lines)
        for file in files[:-1]:
            yield from (line.rstrip(b"\n") for line in file)
        if options.follow:
            yield from _follow(path, files.pop() if files else None, is_over)
        elif files:
            yield from (line.rstrip(b"\n") for line in files[-1] if line.endswith(b"\n"))
    finally:
        for file in files:
            file.close()


def _open_all(path: Path) -> list[IO[bytes]]:
    """The log with what was rotated, oldest first. The current one is opened first: if it is
    rotated meanwhile, it is found again under its new name and left out there."""
    try:
        current = open(path, "rb")  # noqa: SIM115  closed by _lines
    except FileNotFoundError:
        return []
    files = [current]
    for old in sorted(path.parent.glob(f"{path.name}.*"), reverse=True):
        try:
            file = open(old, "rb")  # noqa: SIM115  closed by _lines
        except FileNotFoundError:
            continue  # rotated away just now
        if os.path.sameopenfile(file.fileno(), current.fileno()):
            file.close()
        else:
            files.insert(0, file)
    return files


def _seek_to_tail(files: list[IO[bytes]], wanted: int) -> None:
    """Where the last `wanted` lines begin; read from the end in blocks, so that a large log costs
    nothing. Files before that are put at their end."""
    for file in reversed(files):
        found, offset = _tail_offset(file.fileno(), wanted)
        file.seek(offset)
        wanted -= found


def _tail_offset(fd: int, wanted: int) -> tuple[int, int]:
    """(whole lines found, offset of the first of them)."""
    end = os.fstat(fd).st_size
    if wanted == 0:
        return 0, end
    at, found = end, 0
    while at > 0:
        start = max(at - BLOCK, 0)
        block = os.pread(fd, at - start, start)
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            if start + position == end - 1:
                continue  # the end of the last line, not the start of one
            found += 1
            if found == wanted:
                return found, start + position + 1
        at = start
    return found + (1 if end else 0), 0


def _follow(path: Path, file: IO[bytes] | None, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """From where `file` stands; None when there is no log yet."""
    rest = b""
    with _Watcher(path.parent) as watcher:
        file = file or _open_when_there(path, watcher, is_over)
        if file is None:
            return
        try:
            while True:
                was_over = is_over()  # before reading: what was written before the end is read
                while chunk := file.read(BLOCK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
                if _is_rotated(file.fileno(), path):
                    file.close()
                    file = open(path, "rb")  # noqa: SIM115  closed below
                elif was_over:
                    return
                else:
                    watcher.wait(FOLLOW_CHECK_S)
        finally:
            file.close()


def _open_when_there(
    path: Path, watcher: _Watcher, is_over: Callable[[], bool]
) -> IO[bytes] | None:
    while True:
        was_over = is_over()
        try:
            return open(path, "rb")
        except FileNotFoundError:
            if was_over:
                return None
            watcher.wait(FOLLOW_CHECK_S)


def _is_rotated(fd: int, path: Path) -> bool:
    try:
        return os.fstat(fd).st_ino != os.stat(path).st_ino
    except FileNotFoundError:
        return False  # renamed and not yet made anew


class _Watcher:
    """`man 7 inotify` on a directory: waits until something in it changes."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        mask = _IN_MODIFY | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE
        if libc.inotify_add_watch(self._fd, str(directory).encode(), mask) < 0:
            errno = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(errno, "inotify_add_watch", str(directory))
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        if self._poll.poll(timeout_s * 1000):
            os.read(self._fd, 16 * struct.calcsize("iIII") + 4096)

    def __enter__(self) -> _Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
