"""A program on a terminal of its own, as a person has it: keys in, screen out, size."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from tests.support.waiting import PATIENCE


class Terminal:
    """`with Terminal(argv, env) as screen: screen.until("$ "); screen.type("ls\\n")`."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._set_size(80, 24)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], env=env, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, words: str, timeout_s: float = 30) -> str:
        """What the screen has shown up to `words`; fails after `timeout_s`."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while words not in self.text:
            left = deadline - time.monotonic()
            is_told = bool(select.select([self._master], [], [], max(0, left))[0])
            assert is_told, f"no {words!r} after {timeout_s:g} s:\n{self.text}"
            self.text += os.read(self._master, 65536).decode(errors="replace")
        shown, _, self.text = self.text.partition(words)
        return shown + words

    def resize(self, width: int, height: int) -> None:
        self._set_size(width, height)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def _set_size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
