"""How long to wait before a failed container or image is tried again.

Room kubelet; called by pod_plan.py and image_puller.py. 10 s, doubled up to 300 s, forgotten after
600 s without a failure; the first retry of a container is immediate, as in Kubernetes
(client-go `util/flowcontrol/backoff.go` as the kubelet uses it).
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S, LAST_S = 10.0, 300.0
FORGET_S = 2 * LAST_S


@dataclass
class Backoff:
    """Times are seconds since the epoch. `delay_s` 0: it has not failed lately. It never waits
    longer than `last_s`."""

    delay_s: float = 0.0
    updated_at: float = 0.0
    last_s: float = LAST_S

    def due(self, failed_at: float) -> float:
        """When what failed at that time may be tried again."""
        if failed_at - self.updated_at > FORGET_S:
            return failed_at
        return failed_at + self.delay_s

    def tried(self, failed_at: float, now: float) -> None:
        """It is tried again now: after another failure it will have to wait longer."""
        if failed_at - self.updated_at > FORGET_S:
            self.delay_s = 0.0
        self.delay_s = min(self.delay_s * 2 or FIRST_S, self.last_s)
        self.updated_at = now


def go_duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
