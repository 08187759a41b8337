"""Room podium/cli: `podium status` shows the components of a cluster, from what the supervisor
recorded and what /proc says; it works whether or not the API server does.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from podium.cli import cluster_config, processes
from podium.cli.options import cluster_options

POLL_S = 0.1  # a file and a few reads of /proc


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
              help="Wait so long for all of it to run.")  # fmt: skip
@cluster_options
def command(data_dir: Path, output: str, wait_s: float) -> None:
    """Show what runs. Exit code 1 if the cluster does not run, or not all of it."""
    status = _wait(data_dir, wait_s)
    if output == "json":
        click.echo(json.dumps(status, indent=2))
    else:
        _print(status)
    if status["state"] != "running":
        raise SystemExit(1)


def read_status(data_dir: Path) -> dict[str, Any]:
    """What `podium status -o json` prints. state: "absent", "stopped", "starting", "running" or
    "unsupervised" (somebody killed the supervisor)."""
    config = cluster_config.read(data_dir)
    supervisor = processes.read_supervisor(data_dir)
    components = processes.read_components(data_dir)
    return {
        "dataDir": str(data_dir),
        "state": _state(config, supervisor, components),
        "server": cluster_config.server_url(config) if config else None,
        "supervisor": {"pid": supervisor.pid if supervisor else None},
        "components": [
            {
                "name": component.name,
                "pid": component.pid or None,
                "ready": component.ready,
                "restarts": component.restarts,
            }
            for component in components
        ],
    }


def _wait(data_dir: Path, bound_s: float) -> dict[str, Any]:
    """The status once all of it runs, or when the time is over."""
    deadline = time.monotonic() + bound_s
    while (status := read_status(data_dir))["state"] != "running":
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return status


def _state(
    config: cluster_config.ClusterConfig | None,
    supervisor: processes.ProcessId | None,
    components: list[processes.Component],
) -> str:
    if config is None:
        return "absent"
    if supervisor is None:
        return "unsupervised" if any(component.pid for component in components) else "stopped"
    is_ready = bool(components) and all(component.ready for component in components)
    return "running" if is_ready else "starting"


def _print(status: dict[str, Any]) -> None:
    explained = {
        "absent": f"no cluster in {status['dataDir']}; podium up makes one",
        "stopped": f"the cluster in {status['dataDir']} is stopped; podium up starts it",
        "starting": f"the cluster in {status['dataDir']} is not wholly up",
        "running": f"the cluster in {status['dataDir']} runs at {status['server']}",
        "unsupervised": f"the cluster in {status['dataDir']} has lost its supervisor; "
        "podium up brings it back, podium down ends it",
    }
    click.echo(explained[status["state"]])
    if status["state"] in ("absent", "stopped"):
        return
    supervisor = {"name": "supervisor", "ready": True, "restarts": 0, **status["supervisor"]}
    click.echo(f"{'COMPONENT':<14} {'PID':>8}  {'READY':<6} {'RESTARTS':>8} {'MEMORY':>9}")
    for component in [supervisor, *status["components"]]:
        ready = "yes" if component["ready"] and component["pid"] else "no"
        click.echo(
            f"{component['name']:<14} {component['pid'] or '-':>8}  {ready:<6} "
            f"{component['restarts']:>8} {_memory(component['pid']):>9}"
        )


def _memory(pid: int | None) -> str:
    """The process's share of memory (PSS), e.g. "41 MiB"; "-" when it cannot be told."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text() if pid else ""
    except OSError:
        return "-"  # ended just now, or not ours to look into
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return f"{int(line.split()[1]) // 1024} MiB"
    return "-"
