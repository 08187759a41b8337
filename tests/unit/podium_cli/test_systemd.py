"""The unit of systemd that brings a cluster back, and what `podium up` tells systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from podium.cli import systemd


def test_the_usual_data_directory_has_the_usual_name() -> None:
    assert systemd.unit_name(Path("/var/lib/podium")) == "podium.service"
    assert systemd.unit_name(Path("/srv/my lab")) == "podium-srv-my_lab.service"


def test_the_unit_survives_odd_paths() -> None:
    text = systemd.unit_text(Path('/srv/50% "off" $x'))
    assert '"/srv/50%% \\"off\\" $$x"' in text
    assert "Type=notify" in text
    assert "KillMode=process" in text


def test_installing_writes_enables_and_starts_and_removing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(systemd, "_systemctl", lambda *words: said.append(words))
    data_dir = Path("/var/lib/podium")
    assert systemd.install(data_dir, tmp_path) == "podium.service"
    assert said[-1] == ("enable", "--quiet", "--now", "podium.service")
    systemd.remove(data_dir, tmp_path)
    systemd.remove(data_dir, tmp_path)
    assert said[2:] == [("disable", "--quiet", "podium.service"), ("daemon-reload",)]
    assert list(tmp_path.iterdir()) == []


def test_readiness_is_told_to_systemd_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.say_ready()
    assert not systemd.is_under_systemd()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.say_ready()
        assert listener.recv(100) == b"READY=1"


def test_a_supervisor_of_somebody_else_can_be_waited_for_and_ended() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    foreign = systemd.Foreign(process.pid)
    waiter = threading.Thread(target=foreign.wait)
    waiter.start()
    foreign.terminate()
    process.wait(10)
    waiter.join(10)
    assert not waiter.is_alive()
    foreign.terminate()
    os.close(foreign._fd)
