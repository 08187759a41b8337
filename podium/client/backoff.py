"""Room podium/client: how long to wait before asking an unreachable server again."""

from __future__ import annotations


class Backoff:
    """Short steps at first, for a server that is just starting; then longer ones up to a bound.

    25 ms for the first three seconds (an API server killed with -9 is back within them), and from
    there a third longer each time, up to one second. Not thread-safe: one per loop.
    """

    FIRST_S, QUICK_FOR_S, FACTOR, LAST_S = 0.025, 3.0, 1.3, 1.0

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._delay_s = self.FIRST_S

    def next_s(self) -> float:
        """The next delay."""
        if self._waited_s >= self.QUICK_FOR_S:
            self._delay_s = min(self._delay_s * self.FACTOR, self.LAST_S)
        self._waited_s += self._delay_s
        return self._delay_s

    def reset(self) -> None:
        """After a success."""
        self._waited_s, self._delay_s = 0.0, self.FIRST_S
