"""Room podium/cli: showing what is waited for.

On a terminal the last line says what is still awaited and for how long; anywhere else only whole
lines are printed, so that logs of CI stay readable. Standard library only.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Lines that stay, and on a terminal one line that moves."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._moving = ""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self.began

    def line(self, text: str) -> None:
        """Print a line that stays."""
        moving = self._moving
        self._erase()
        self._stream.write(text + "\n")
        self._show(moving)
        self._stream.flush()

    def waiting_for(self, text: str) -> None:
        """What is awaited now; seen on terminals only. Safe to call as often as one likes."""
        if self._is_terminal:
            self._erase()
            self._show(text)
            self._stream.flush()

    def done(self) -> None:
        """Nothing is awaited any more."""
        self._erase()
        self._stream.flush()

    def _show(self, text: str) -> None:
        if text and self._is_terminal:
            self._stream.write(f"{text} … {self.seconds:.1f} s")
        self._moving = text

    def _erase(self) -> None:
        if self._moving and self._is_terminal:
            self._stream.write("\r\x1b[K")
        self._moving = ""
