"""A container's log, in the CRI's format. Runs in the shim, which holds the pipes' read ends.

    2026-11-24T01:02:03.123456789Z stdout F a whole line
    2026-11-24T01:02:03.123456789Z stdout P the beginning of one that goes on

Nothing is added to or lost from what was written: a record's text is a piece of the stream, and
only F stands for a newline. (Kubernetes design: kubelet-cri-logging.)
"""

from __future__ import annotations

import os
import time

RECORD_MAX_BYTES = 16 * 1024  # a longer line becomes several P records and a last F
HOLD_S = 0.1  # how long the beginning of a line waits for its end before it is written as P


class LogFile:
    """Append-only; `path` "" writes nowhere. A full disk loses output, never the container."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._held: dict[str, bytes] = {}
        self._lost_bytes = 0
        self._is_torn = False  # the file ends in half a record
        self._second, self._second_text = -1, ""

    def open(self) -> None:
        """Raises OSError; a file that is there already is written on."""
        if self.path:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o640)

    def reopen(self) -> None:
        """After the file was renamed: go on in a new one."""
        self.close()
        self.open()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def feed(self, stream: str, data: bytes) -> bool:
        """Write what the container wrote; True if the beginning of a line is now held back."""
        *lines, rest = (self._held.pop(stream, b"") + data).split(b"\n")
        records = []
        for line in lines:
            pieces, last = _pieces(line)
            records += [self._record(stream, "P", piece) for piece in pieces]
            records.append(self._record(stream, "F", last))
        pieces, rest = _pieces(rest)
        records += [self._record(stream, "P", piece) for piece in pieces]
        if records:
            self._append(b"".join(records))
        if rest:
            self._held[stream] = rest
        return bool(rest)

    def flush(self) -> None:
        """Write the beginnings that are held back: their ends were long in coming."""
        for stream, rest in self._held.items():
            self._append(self._record(stream, "P", rest))
        self._held.clear()

    def _record(self, stream: str, tag: str, text: bytes) -> bytes:
        return f"{self._now()} {stream} {tag} ".encode() + text + b"\n"

    def _now(self) -> str:
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{nanosecond:09d}Z"

    def _append(self, records: bytes) -> None:
        if self._fd < 0:
            return
        size = len(records)
        if self._lost_bytes:
            note = f"podium: {self._lost_bytes} bytes of log could not be written".encode()
            records = b"\n" * self._is_torn + self._record("stderr", "F", note) + records
        try:
            written = os.write(self._fd, records)
        except OSError:  # a full disk, say: told in the log itself as soon as that is possible
            self._lost_bytes += size
            return
        self._lost_bytes, self._is_torn = len(records) - written, written < len(records)


def _pieces(line: bytes) -> tuple[list[bytes], bytes]:
    """Full-sized beginnings of a line that is too long for one record, and what remains."""
    pieces = []
    while len(line) > RECORD_MAX_BYTES:
        pieces.append(line[:RECORD_MAX_BYTES])
        line = line[RECORD_MAX_BYTES:]
    return pieces, line
