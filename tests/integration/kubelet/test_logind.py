"""The shutdown lock, over a real dbus-daemon on which the test plays logind and systemd."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.dbus import BUS, BUS_PATH, CALL, SIGNAL, Bus, BusError, Message, decode, encode
from kubelet.logind import LOGIND, LOGIND_PATH, MANAGER, SYSTEMD, ShutdownLock
from tests.support.waiting import eventually

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/>
<allow own="*"/><allow user="*"/></policy></busconfig>"""


@pytest.fixture
def bus_path(tmp_path: Path) -> Iterator[str]:
    path, config = tmp_path / "bus", tmp_path / "bus.conf"
    config.write_text(CONFIG.format(path))
    argv = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"]
    with subprocess.Popen(argv) as daemon:
        eventually(lambda: answers(str(path)))
        yield str(path)
        daemon.terminate()


def answers(path: str) -> bool:
    try:
        Bus.connect(path).close()
    except OSError:
        return False
    return True


class Logind:
    """Gives out locks: the writing ends of pipes, of which it keeps the other."""

    def __init__(self, path: str, delay_s: float) -> None:
        self.bus, self._delay_s = Bus.connect(path), delay_s
        for name in (LOGIND, SYSTEMD):
            self.bus.call(BUS, BUS_PATH, BUS, "RequestName", "su", name, 0)
        self.asked: list[str] = []
        self.lock = -1
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                message = self.bus.next()
            except OSError:
                return
            if message.kind != CALL:
                continue
            self.asked.append(message.member)
            match message.member:
                case "Inhibit":
                    self.lock, theirs = os.pipe()
                    self.bus.answer(message, "h", [0], [theirs])
                    os.close(theirs)
                case "Get":
                    self.bus.answer(message, "v", [("t", int(self._delay_s * 1e6))], [])
                case _:
                    self.bus.answer(message, "", [], [])

    def say(self, is_ending: bool) -> None:
        fields = {1: LOGIND_PATH, 2: MANAGER, 3: "PrepareForShutdown"}
        self.bus.send(Message(SIGNAL, fields), "b", [is_ending])

    def is_released(self) -> bool:
        """Nobody has the writing end any more."""
        os.set_blocking(self.lock, False)
        try:
            return os.read(self.lock, 1) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.bus.close()
        self._thread.join()
        if self.lock >= 0:
            os.close(self.lock)


class Node:
    """Whom the lock tells."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.may_go = threading.Event()

    def begin(self) -> None:
        self.told.append("begin")
        assert self.may_go.wait(10)

    def cancel(self) -> None:
        self.told.append("cancel")


def test_a_shutdown_waits_until_the_pods_have_ended(bus_path: str, tmp_path: Path) -> None:
    logind, node = Logind(bus_path, delay_s=60), Node()
    lock = ShutdownLock(30, node.begin, node.cancel, bus_path=bus_path, override=tmp_path / "conf")
    thread = threading.Thread(target=lock.run)
    thread.start()
    eventually(lambda: logind.lock >= 0)
    logind.say(True)
    eventually(lambda: node.told == ["begin"])
    assert not logind.is_released()
    node.may_go.set()
    eventually(logind.is_released)
    logind.say(False)
    eventually(lambda: node.told == ["begin", "cancel"])
    eventually(lambda: logind.asked.count("Inhibit") == 2)
    lock.stop()
    thread.join(10)
    logind.close()
    assert not (tmp_path / "conf").exists()


def test_a_delay_that_is_too_short_is_raised(bus_path: str, tmp_path: Path) -> None:
    logind, node, conf = Logind(bus_path, delay_s=5), Node(), tmp_path / "d" / "99-kubelet.conf"
    lock = ShutdownLock(30, node.begin, node.cancel, bus_path=bus_path, override=conf)
    thread = threading.Thread(target=lock.run)
    thread.start()
    eventually(lambda: logind.lock >= 0)
    assert "InhibitDelayMaxSec=30" in conf.read_text()
    assert "KillUnit" in logind.asked
    lock.stop()
    thread.join(10)
    logind.close()


def test_an_error_of_the_bus_is_told_in_its_own_words(bus_path: str) -> None:
    bus = Bus.connect(bus_path)
    with pytest.raises(BusError, match="was not provided by any"):
        bus.call("org.example.Nobody", "/", "org.example.Nobody", "Hello")
    bus.close()


def test_values_keep_their_places() -> None:
    values = [True, 7, "word", 1 << 40, "/a/path", -1, "variant"]
    said = encode("bustoi", values[:-1])
    said += encode("v", [("s", values[-1])], len(said))
    assert decode("bustoiv", said) == values
