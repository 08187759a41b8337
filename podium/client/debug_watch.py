"""Room podium/client: waits for the first Breakpoint that concerns this process.

Only then is the debugger loaded, which needs a megabyte that most processes never spend.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from podium.api.debugging import BREAKPOINTS
from podium.client.clock import Clock
from podium.client.http import Client
from podium.client.informer import InformerFactory

if TYPE_CHECKING:
    from podium.client.debugger import Debugger

SYNC_S = 2.0


class DebugWatch:
    """`loops` are the loops of this process by name, with what breakpoints call them; `where` is a
    field selector of the breakpoints that concern it."""

    def __init__(
        self,
        client: Client,
        loops: Mapping[str, str],
        informers: InformerFactory,
        *,
        where: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client, self._loops, self._informers = client, dict(loops), informers
        self._where, self._clock = where, clock
        self._lock = threading.Lock()  # guards the two below
        self._debugger: Debugger | None = None
        self._is_stopped = False
        self._informer = informers.informer(BREAKPOINTS, where)
        self._informer.add_handler(self._heard)

    def wait_synced(self) -> None:
        """Until the breakpoints are known, for a moment at most: they come with everything else."""
        self._informer.wait_synced(SYNC_S)

    def stop(self) -> None:
        """Let everything go on. Safe to repeat."""
        with self._lock:
            self._is_stopped = True
            debugger = self._debugger
        if debugger is not None:
            debugger.stop()

    def _heard(self, _: dict[str, Any]) -> None:
        with self._lock:
            if self._debugger is not None or self._is_stopped:
                return
            from podium.client.debugger import Debugger

            self._debugger = Debugger(
                self._client, self._loops, self._informers, where=self._where, clock=self._clock
            )
            self._debugger.start()
