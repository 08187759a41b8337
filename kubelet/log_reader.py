"""Reading container logs: tail, since, follow, over rotated files.

Room kubelet; called by server.py and termination.py. A log is `<attempt>.log` and, once rotated,
`<attempt>.log.<time>` (or `….gz`) beside it, in CRI format: "<RFC 3339 nano> stdout|stderr F|P
<text>", where P means that the line goes on. Lines are handled many at a time: a log may have
millions.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, cast

from podium.api import meta

BLOCK = 64 * 1024
_STAMP = "%Y-%m-%dT%H:%M:%S.%f"  # the log's own format up to microseconds: compares as text


class Follower(Protocol):
    """Whom to ask while a log grows (log_follower.py)."""

    def is_over(self) -> bool:
        """Whether nothing more can be written."""

    def wait(self) -> bool:
        """Until there may be more; False when nobody reads any more."""


@dataclass(frozen=True)
class LogOptions:
    """The query of GET …/log. tail_lines None: all of them."""

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
        since = meta.parse_time(query["sinceTime"])
    return LogOptions(
        timestamps=query.get("timestamps") in ("true", "1"),
        tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
        since=since,
        limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
    )


def read_log(path: Path, options: LogOptions, follower: Follower | None = None) -> Iterator[bytes]:
    """Pieces of text as the container wrote it. With a follower, until it says that the container
    has ended and everything has been read."""
    left = options.limit_bytes
    for piece in _texts(path, options, follower):
        if left is None:
            yield piece
            continue
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _texts(path: Path, options: LogOptions, follower: Follower | None) -> Iterator[bytes]:
    since = options.since.astimezone(UTC).strftime(_STAMP).encode() if options.since else b""
    is_line_start = True
    for records in _records(path, options, follower):
        pieces: list[bytes] = []
        for record in records:
            stamp, _, tag, text = (*record.split(b" ", 3), b"", b"", b"")[:4]
            if stamp < since:
                continue
            if options.timestamps and is_line_start:
                pieces += (stamp, b" ")
            pieces.append(text)
            is_line_start = tag != b"P"
            if is_line_start:
                pieces.append(b"\n")
        if pieces:
            yield b"".join(pieces)


# ---- records, from files ------------------------------------------------------------------------


def _records(path: Path, options: LogOptions, follower: Follower | None) -> Iterator[list[bytes]]:
    """Lines of the files, the oldest first, as many at a time as are there. A line that is being
    written is left for later."""
    files = _open_all(path)
    try:
        if options.tail_lines is not None:
            _seek_to_tail(files, options.tail_lines)
        for file in files[:-1]:
            yield from _blocks(file, _Rest())
        if follower is not None:
            yield from _follow(path, files.pop() if files else None, follower)
        elif files:
            yield from _blocks(files[-1], _Rest())
    finally:
        for file in files:
            file.close()


def _open_all(path: Path) -> list[io.FileIO]:
    """The log and what was rotated, the oldest first. The current one is opened first: rotated
    meanwhile, it is found again under its new name and left out there."""
    current = _open(path)
    if current is None:
        return []
    files = [current]
    rotated = {str(old) for old in path.parent.glob(f"{path.name}.*")}
    for old in sorted(rotated, reverse=True):
        if old.endswith(".tmp") or old.removesuffix(".gz") in rotated - {old}:
            continue  # it is being compressed, or has been just now
        file = _open(Path(old))
        if file is not None and os.path.sameopenfile(file.fileno(), current.fileno()):
            file.close()
        elif file is not None:
            files.insert(0, file)
    return files


def _open(path: Path) -> io.FileIO | None:
    """None for a file that has just gone; of a compressed one its content, in a file without a
    name."""
    try:
        if path.suffix != ".gz":
            return open(path, "rb", buffering=0)
        with gzip.open(path) as packed:
            plain = cast(io.FileIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - the caller closes
            shutil.copyfileobj(packed, plain, BLOCK)
            plain.seek(0)
            return plain
    except FileNotFoundError:
        return None


@dataclass
class _Rest:
    """The beginning of a line whose end has not been read."""

    data: bytes = b""


def _blocks(file: io.FileIO, rest: _Rest) -> Iterator[list[bytes]]:
    while block := file.read(BLOCK):
        *lines, rest.data = (rest.data + block).split(b"\n")
        if lines:
            yield lines


def _follow(path: Path, file: io.FileIO | None, follower: Follower) -> Iterator[list[bytes]]:
    """From where `file` stands; None: there is no log yet."""
    file, rest = file or _open_when_there(path, follower), _Rest()
    try:
        while file is not None:
            was_over = follower.is_over()  # before reading: what was written until then is read
            yield from _blocks(file, rest)
            if _is_rotated(file.fileno(), path):
                yield from _blocks(file, rest)  # written between the last read and the renaming
                file.close()
                file, rest = _open_when_there(path, follower), _Rest()
            elif was_over or not follower.wait():
                return
    finally:
        if file is not None:
            file.close()


def _open_when_there(path: Path, follower: Follower) -> io.FileIO | None:
    while True:
        was_over = follower.is_over()
        if (file := _open(path)) is not None:
            return file
        if was_over or not follower.wait():
            return None


def _is_rotated(fd: int, path: Path) -> bool:
    try:
        return os.fstat(fd).st_ino != os.stat(path).st_ino
    except FileNotFoundError:
        return False  # renamed and not yet made anew


# ---- the last lines -----------------------------------------------------------------------------


def _seek_to_tail(files: list[io.FileIO], wanted: int) -> None:
    """To where the last `wanted` lines begin, from the end in blocks, so that a large log costs
    nothing. Files before that are left at their end."""
    for file in reversed(files):
        found, offset = _tail_offset(file.fileno(), wanted)
        file.seek(offset)
        wanted -= found


def _tail_offset(fd: int, wanted: int) -> tuple[int, int]:
    """(lines found, offset of the first of them). A line counts once it has its end."""
    at, found = os.fstat(fd).st_size, -1  # the end of the last line begins no other
    if wanted == 0 or at == 0:
        return 0, at
    while at > 0:
        start = max(at - BLOCK, 0)
        block = os.pread(fd, at - start, start)
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            found += 1
            if found == wanted:
                return found, start + position + 1
        at = start
    return found + 1, 0
