"""Room podium/cli: a unit of systemd that brings a cluster back at each boot.

`podium up --systemd` writes it and starts it, `podium down --purge` takes it away. systemd then
keeps `podium up` alive in the foreground, and ends it like Ctrl-C before the machine goes down.
(`man 5 systemd.service`, `man 3 sd_notify`.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from podium.cli import preflight
from podium.cli.cluster_config import DEFAULT_DATA_DIR
from podium.cli.supervisor import component_environment

UNITS = Path("/etc/systemd/system")
START_TIMEOUT_S, STOP_TIMEOUT_S = 300, 120


def unit_name(data_dir: Path) -> str:
    """ "podium.service"; of another data directory than the usual one its name as well."""
    if data_dir == Path(DEFAULT_DATA_DIR):
        return "podium.service"
    plain = str(data_dir).strip("/").replace("/", "-")
    return f"podium-{''.join(c if c.isalnum() or c in '-_.' else '_' for c in plain)}.service"


def unit_text(data_dir: Path) -> str:
    """KillMode=process: containers belong to their shims, and live on while `podium up` is started
    again after a crash."""
    house = component_environment()["PYTHONPATH"]
    argv = [sys.executable, "-P", "-m", "podium.cli.main", "up", "--data-dir", str(data_dir)]
    return f"""# Written by podium up --systemd; podium down --purge removes it.
[Unit]
Description=Podium, Kubernetes on this machine ({_escaped(str(data_dir))})
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={" ".join(_quoted(word) for word in argv)}
Environment={_quoted(f"PYTHONPATH={house}")}
Restart=on-failure
RestartSec=2
KillMode=process
Delegate=yes
TasksMax=infinity
TimeoutStartSec={START_TIMEOUT_S}
TimeoutStopSec={STOP_TIMEOUT_S}

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    return '"' + _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def check_systemd() -> None:
    """Raises Unfit where another init runs."""
    if not os.path.isdir("/run/systemd/system"):
        raise preflight.Unfit(
            "this machine does not run systemd; have its own init run: podium up --data-dir DIR"
        )


def install(data_dir: Path, units: Path = UNITS) -> str:
    """Write the unit and start it; its name, once the cluster's node is Ready. Raises Unfit."""
    name = unit_name(data_dir)
    (units / name).write_text(unit_text(data_dir))
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", "--now", name)
    return name


def remove(data_dir: Path, units: Path = UNITS) -> None:
    """Safe where there is none."""
    name = unit_name(data_dir)
    if (units / name).exists():
        _systemctl("disable", "--quiet", name)
        (units / name).unlink()
        _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    done = subprocess.run(
        ["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise preflight.Unfit(f"systemctl {' '.join(words)}: {done.stderr.strip()}")


# --- under systemd ------------------------------------------------------------------------------


def is_under_systemd() -> bool:
    """Whether this process is a unit's, which is to say when it is ready."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def say_ready() -> None:
    """To systemd, if it has started us."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, contextlib.suppress(OSError):
        notify.sendto(b"READY=1", address)


class Foreign:
    """A supervisor that somebody else has started, with the verbs of Popen that `up` needs."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def wait(self) -> int:
        """Until it has ended; how, nobody but its parent knows."""
        import select

        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll()
        return 0

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, signal.SIGTERM)
