"""systemd-logind asks before it shuts the machine down: a delay lock that this node holds.

Room kubelet; a thread of its own, started by agent.py where shutdown grace periods are set. While
the lock is held a shutdown or reboot waits for it, for as long as logind's InhibitDelayMaxSec says;
that is raised, as the kubelet does it, if it is too short.
Source: systemd "Inhibitor Locks"; kubelet `pkg/kubelet/nodeshutdown/systemd`, v1.32.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from kubelet.dbus import BUS, BUS_PATH, SYSTEM_BUS, Bus, BusError

log = logging.getLogger("logind")

LOGIND, LOGIND_PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
MANAGER, SIGNAL = "org.freedesktop.login1.Manager", "PrepareForShutdown"
SYSTEMD, SYSTEMD_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
WHY = "Kubelet needs time to handle node shutdown"
OVERRIDE = Path("/etc/systemd/logind.conf.d/99-kubelet.conf")


class ShutdownLock:
    """`begin()` does what is to be done before the machine ends, and returns when that is done;
    `cancel()` hears that it does not end after all."""

    def __init__(
        self, grace_s: float, begin: Callable[[], None], cancel: Callable[[], None], *,
        bus_path: str = SYSTEM_BUS, override: Path = OVERRIDE,
    ) -> None:  # fmt: skip
        self._grace_s, self._begin, self._cancel = grace_s, begin, cancel
        self._bus_path, self._override = bus_path, override
        self._bus: Bus | None = None

    def run(self) -> None:
        """Until `stop`, or the bus ends. Without systemd it only says so."""
        try:
            self._follow()
        except (OSError, BusError, ValueError) as failure:
            log.warning("no shutdown lock: %s", failure)

    def stop(self) -> None:
        if self._bus is not None:
            self._bus.close()

    def _follow(self) -> None:
        self._bus = bus = Bus.connect(self._bus_path)
        self._ensure_delay(bus)
        rule = (
            f"type='signal',interface='{MANAGER}',member='PrepareForShutdown',path='{LOGIND_PATH}'"
        )
        bus.call(BUS, BUS_PATH, BUS, "AddMatch", "s", rule)
        lock = self._take(bus)
        try:
            while True:
                message = bus.next()
                if message.member != SIGNAL:
                    continue
                (is_ending,) = message.values()
                if is_ending:
                    self._begin()
                    os.close(lock)
                    lock = -1
                else:
                    self._cancel()
                    lock = lock if lock >= 0 else self._take(bus)
        finally:
            if lock >= 0:
                os.close(lock)

    @staticmethod
    def _take(bus: Bus) -> int:
        (lock,) = bus.call(
            LOGIND, LOGIND_PATH, MANAGER, "Inhibit", "ssss", "shutdown", "kubelet", WHY, "delay"
        )
        log.info("holding logind's delay lock for shutdown")
        return int(lock)

    def _ensure_delay(self, bus: Bus) -> None:
        if self._delay_s(bus) >= self._grace_s:
            return
        self._override.parent.mkdir(parents=True, exist_ok=True)
        self._override.write_text(
            f"# Kubelet logind override\n[Login]\nInhibitDelayMaxSec={int(self._grace_s)}\n"
        )
        bus.call(
            SYSTEMD, SYSTEMD_PATH, f"{SYSTEMD}.Manager", "KillUnit",
            "ssi", "systemd-logind.service", "all", int(signal.SIGHUP),
        )  # fmt: skip

    @staticmethod
    def _delay_s(bus: Bus) -> float:
        (found,) = bus.call(
            LOGIND, LOGIND_PATH, PROPERTIES, "Get", "ss", MANAGER, "InhibitDelayMaxUSec"
        )
        return float(found) / 1e6
