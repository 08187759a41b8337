"""Room podium/cli: `podium up` checks the machine, writes what the components need to know, starts
the supervisor and shows how the components come up. What it starts outlives it (with -d).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from podium.api.history_limit import HistoryLimit, parse_history_limit
from podium.cli import cluster_config, preflight, processes
from podium.cli import systemd as systemd_unit
from podium.cli.down import (
    check_root_unless_simulated,
    end_processes,
    operation_lock,
    stop_cluster,
    tail,
)
from podium.cli.options import cluster_options
from podium.cli.progress import Progress
from podium.cli.supervisor import (
    KEYS_ARE_MADE,
    KEYS_FD_VARIABLE,
    PROGRESS_FD_VARIABLE,
    component_environment,
)

START_TIMEOUT_S = 280.0  # an emulated machine is thirty times slower; systemd waits for 300
RUNTIMES = ("podium", "containerd")
FAKE_POD_CIDR = "10.244.0.0/16"
MOST_FAKE_NODES = 200  # each has a /24 of the Pods' /16
CHECK_PKI_EVERY_S = 24 * 3600.0


class StartFailed(Exception):
    """The cluster did not come up; everything was stopped again. `log` is what to show."""

    def __init__(self, message: str, log: Path | None = None, offset: int = 0) -> None:
        super().__init__(message)
        self.log = log
        self.offset = offset


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for; None: as it was, or the default."""

    port: int | None = None
    host: str | None = None
    database: str | None = None
    node_name: str | None = None
    pod_cidr: str | None = None
    kubelet_config: Path | None = None
    runtime: str | None = None
    lab: bool | None = None
    history: HistoryLimit | None = None
    fake_nodes: int | None = None
    otlp_endpoint: str | None = None


class HistoryType(click.ParamType[HistoryLimit]):
    """`--history`: "24h,100000"."""

    name = "history"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> HistoryLimit:
        """Refuse what cannot be kept at once."""
        try:
            return parse_history_limit(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return once the node is Ready.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve the API here (6443; 0: any).")
@click.option("--host", metavar="ADDRESS", help="Listen at this address (127.0.0.1).")
@click.option("--database", metavar="URL", help="PostgreSQL instead of SQLite in the data dir.")
@click.option("--node-name", metavar="NAME", help="What the node is called (the hostname).")
@click.option("--pod-cidr", metavar="CIDR", help="The Pods' network (10.244.0.0/16 if free).")
@click.option(
    "--kubelet-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A KubeletConfiguration: thresholds, reserved resources, … (kept for the next start).",
)
@click.option("--systemd", is_flag=True, help="Have systemd start the cluster at each boot.")
@click.option("--runtime", type=click.Choice(RUNTIMES), help="What makes containers (podium).")
@click.option("--lab/--no-lab", default=None, help="Let faults be injected (podium fault; kept).")
@click.option("--history", type=HistoryType(), metavar="AGE,CHANGES",
              help="How much of the past to keep (24h,100000).")  # fmt: skip
@click.option("--fake-nodes", type=click.IntRange(1, MOST_FAKE_NODES), metavar="N",
              help="Simulate N nodes instead of making containers; needs no root.")  # fmt: skip
@click.option(
    "--otlp-endpoint",
    metavar="URL",
    help='Hand spans on to a collector: http://127.0.0.1:4318 ("" ends it; kept).',
)
@click.option("--first-lesson", is_flag=True, help="Run manifests/01-… and show what to do next.")
@cluster_options
def command(data_dir: Path, detach: bool, first_lesson: bool, systemd: bool, **wishes: Any) -> None:
    """Start the cluster. With -d return once its node is Ready, else run until Ctrl-C."""
    try:
        if systemd:
            _hand_to_systemd(data_dir, Wishes(**wishes), Progress())
            return
        process = bring_up(data_dir, Wishes(**wishes), Progress())
    except (preflight.Unfit, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except StartFailed as failure:
        _tell_failure(failure)
        raise SystemExit(1) from None
    if first_lesson:
        from podium.cli.first_lesson import show_first_lesson

        show_first_lesson(data_dir)
    if not detach and (waited_for := process or _running_for_systemd(data_dir)):
        raise SystemExit(_run_until_interrupted(waited_for, data_dir))


def _hand_to_systemd(data_dir: Path, wishes: Wishes, progress: Progress) -> None:
    """Settle all that is asked for, then have systemd say `podium up`."""
    preflight.check_root()
    systemd_unit.check_systemd()
    preflight.check_data_dir(data_dir)
    (data_dir / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    with operation_lock(data_dir, progress):
        if processes.read_supervisor(data_dir):
            raise preflight.Unfit("the cluster is running; say podium down first")
        try:
            _settle(data_dir, wishes)
        except preflight.Unfit:
            _remove_if_new(data_dir)
            raise
    progress.waiting_for("waiting for systemd")
    name = systemd_unit.install(data_dir)
    progress.done()
    progress.line(f"systemd keeps the cluster in {data_dir}, also after a reboot")
    progress.line(f"  see   systemctl status {name}")
    progress.line(f"  next  export KUBECONFIG={data_dir / 'admin.kubeconfig'}")


def _running_for_systemd(data_dir: Path) -> systemd_unit.Foreign | None:
    """The supervisor that a unit of systemd has to wait for: our predecessor's, who was killed."""
    supervisor = processes.read_supervisor(data_dir)
    if supervisor is None or not systemd_unit.is_under_systemd():
        return None
    return systemd_unit.Foreign(supervisor.pid)


def bring_up(data_dir: Path, wishes: Wishes, progress: Progress) -> subprocess.Popen[bytes] | None:
    """Start a cluster and wait until its node is Ready; None if it was running already.

    Raises Unfit (nothing was started) or StartFailed (everything was stopped again).
    """
    if not wishes.fake_nodes:  # or what is there says that its nodes are simulated
        check_root_unless_simulated(data_dir)
    preflight.check_data_dir(data_dir)
    (data_dir / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    with operation_lock(data_dir, progress):
        if processes.read_supervisor(data_dir):
            _tell_running(data_dir, progress)
            return None
        try:
            config = _settle(data_dir, wishes)
        except preflight.Unfit:
            _remove_if_new(data_dir)
            raise
        return _start(data_dir, config, progress)


# --- before anything runs -----------------------------------------------------------------------


def _settle(data_dir: Path, wishes: Wishes) -> cluster_config.ClusterConfig:
    """Check the machine, and write cluster.json and directories."""
    found = cluster_config.read(data_dir)
    if not (wishes.fake_nodes or (found and found.is_simulated)):
        preflight.check_kernel()
    end_processes(data_dir)  # components whose supervisor was killed
    if wishes.kubelet_config:
        _check_kubelet_config(wishes.kubelet_config)
    config = _adjusted(found, wishes) if found else _new_config(data_dir, wishes)
    if config.otlp_endpoint:
        preflight.check_otlp(config.otlp_endpoint)
    if any(node.runtime == "containerd" for node in config.nodes):
        preflight.check_containerd()
    config = dataclasses.replace(config, port=preflight.check_port(config.host, config.port))
    cluster_config.write(data_dir, config)
    for node in config.nodes:
        for name in ("runtime", "pods", "images", "network"):
            (data_dir / "nodes" / node.name / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        if wishes.kubelet_config:
            _keep_kubelet_config(wishes.kubelet_config, data_dir / "nodes" / node.name)
    (data_dir / "log").mkdir(mode=0o700, exist_ok=True)
    return config


def _new_config(data_dir: Path, wishes: Wishes) -> cluster_config.ClusterConfig:
    name = wishes.node_name or preflight.default_node_name()
    preflight.check_node_name(name)
    config = cluster_config.single_node(
        preflight.new_cluster_id(),
        data_dir,
        host=wishes.host or "127.0.0.1",
        port=cluster_config.DEFAULT_PORT if wishes.port is None else wishes.port,
        pod_cidr=_pod_cidr(data_dir, wishes),
        node_name=name,
        database=wishes.database,
        runtime=wishes.runtime or RUNTIMES[0],
        history=wishes.history,
    )
    config = dataclasses.replace(
        config, lab=bool(wishes.lab), otlp_endpoint=wishes.otlp_endpoint or ""
    )
    return (
        cluster_config.with_fake_nodes(config, wishes.fake_nodes) if wishes.fake_nodes else config
    )


def _pod_cidr(data_dir: Path, wishes: Wishes) -> str:
    """Simulated Pods have addresses that nobody routes: they meet nothing on this machine."""
    if wishes.fake_nodes:
        return FAKE_POD_CIDR
    return preflight.choose_pod_cidr(wishes.pod_cidr, data_dir)


def _adjusted(config: cluster_config.ClusterConfig, wishes: Wishes) -> cluster_config.ClusterConfig:
    """The cluster that is there, with what may be changed about it."""
    if wishes.pod_cidr not in (None, config.pod_cidr):
        raise preflight.Unfit(
            f"this cluster's pod network is {config.pod_cidr} and cannot be changed; "
            "podium down --purge makes room for a new one"
        )
    if wishes.node_name not in (None, *(node.name for node in config.nodes)):
        raise preflight.Unfit(
            f"this cluster's node is called {config.nodes[0].name} and cannot be renamed; "
            "podium down --purge makes room for a new one"
        )
    if wishes.fake_nodes and (not config.is_simulated or wishes.fake_nodes != len(config.nodes)):
        have = f"{len(config.nodes)} simulated" if config.is_simulated else "real"
        raise preflight.Unfit(
            f"this cluster's nodes are {have}, and that cannot be changed; "
            "podium down --purge makes room for a new one"
        )
    if wishes.runtime not in (None, *(node.runtime for node in config.nodes)):
        raise preflight.Unfit(
            f"this cluster's containers are made by {config.nodes[0].runtime}, and that cannot be "
            "changed; podium down --purge makes room for a new one"
        )
    bridges = tuple(node.bridge for node in config.nodes)
    for node in () if config.is_simulated else config.nodes:
        preflight.check_pod_cidr(node.pod_cidr, list(preflight.existing_routes()), bridges)
    return dataclasses.replace(
        config,
        host=wishes.host or config.host,
        port=config.port if wishes.port is None else wishes.port,
        database=wishes.database or config.database,
        lab=config.lab if wishes.lab is None else wishes.lab,
        history=wishes.history or config.history,
        otlp_endpoint=(
            config.otlp_endpoint if wishes.otlp_endpoint is None else wishes.otlp_endpoint
        ),
    )


def _check_kubelet_config(path: Path) -> None:
    """Only the kubelet knows its settings; raises Unfit with its words."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "kubelet", "--check-config", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=component_environment(),
        check=False,
    )
    if done.returncode != 0:
        raise preflight.Unfit(done.stderr.strip())


def _keep_kubelet_config(path: Path, node_dir: Path) -> None:
    """Where the kubelet reads it, whole or not at all."""
    temporary = node_dir / ".kubelet.yaml"
    temporary.write_bytes(path.read_bytes())
    temporary.chmod(0o600)
    temporary.replace(node_dir / "kubelet.yaml")


def _remove_if_new(data_dir: Path) -> None:
    """What a refused first start has left of its data directory: empty directories."""
    if not cluster_config.config_path(data_dir).exists():
        (data_dir / "run" / "operation.lock").unlink(missing_ok=True)
        for directory in (data_dir / "run", data_dir):
            if not any(directory.iterdir()):
                directory.rmdir()


def _ensure_pki(data_dir: Path, config: cluster_config.ClusterConfig) -> None:
    """Keys and certificates. Looking at them costs 150 ms of imports, so the same question is asked
    once a day."""
    nodes = [node.name for node in config.nodes]
    question = {"host": config.host, "port": config.port, "nodes": nodes}
    marker = data_dir / "pki" / "checked.json"
    try:
        asked = json.loads(marker.read_text())
        age_s = time.time() - marker.stat().st_mtime
        if asked == question and 0 <= age_s < CHECK_PKI_EVERY_S and _has_keys(data_dir, config):
            return
    except (FileNotFoundError, ValueError):
        pass  # never asked, or not answered to the end
    from podium.cli import pki

    pki.create_pki(data_dir, nodes, config.host, config.port)
    pki.write_private(marker, json.dumps(question).encode())


def _has_keys(data_dir: Path, config: cluster_config.ClusterConfig) -> bool:
    pairs = ["ca", "apiserver", "apiserver-kubelet-client"]
    kubeconfigs = ["controllers", "scheduler"]
    for node in config.nodes:
        pairs.append(f"kubelet-{node.name}")
        kubeconfigs.append(f"node-{node.name}")
    wanted = [data_dir / "admin.kubeconfig"]
    wanted += [data_dir / "pki" / f"{name}.{end}" for name in pairs for end in ("crt", "key")]
    wanted += [data_dir / "pki" / f"{name}.kubeconfig" for name in kubeconfigs]
    return all(path.exists() for path in wanted)


# --- starting -----------------------------------------------------------------------------------


def _start(
    data_dir: Path, config: cluster_config.ClusterConfig, progress: Progress
) -> subprocess.Popen[bytes]:
    """Start the supervisor, make keys and certificates, and follow it until all is up."""
    progress.line(f"starting the cluster in {data_dir}")
    offsets = {path.name: path.stat().st_size for path in (data_dir / "log").glob("*.log")}
    read_fd, progress_fd = os.pipe()
    keys_fd, write_fd = os.pipe()
    process = _start_supervisor(
        data_dir, {PROGRESS_FD_VARIABLE: progress_fd, KEYS_FD_VARIABLE: keys_fd}
    )
    try:
        with open(write_fd, "wb", buffering=0) as waiting:
            _ensure_pki(data_dir, config)
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more: _follow says why
                waiting.write(KEYS_ARE_MADE)
        _follow(read_fd, data_dir, offsets, progress)
    except BaseException:  # Ctrl-C as well: nothing stays half-started
        progress.done()
        _stop_again(process, data_dir, progress)
        raise
    finally:
        os.close(read_fd)
    names = ", ".join(node.name for node in config.nodes)
    progress.line(f"node {names} is Ready after {progress.seconds:.1f} s")
    progress.line(f"  API   {cluster_config.server_url(config)}")
    progress.line(f"  next  export KUBECONFIG={data_dir / 'admin.kubeconfig'}")
    return process


def _start_supervisor(data_dir: Path, fds: dict[str, int]) -> subprocess.Popen[bytes]:
    """With these file descriptors, by the names of the variables that tell of them."""
    with open(data_dir / "log" / "supervisor.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "podium.cli.supervisor", "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(fds.values()),
            env=component_environment() | {name: str(fd) for name, fd in fds.items()},
            start_new_session=True,
        )
    for fd in fds.values():
        os.close(fd)
    return process


def _follow(read_fd: int, data_dir: Path, offsets: dict[str, int], progress: Progress) -> None:
    """Show each component's coming; returns when all are up, raises StartFailed otherwise."""
    waiting: list[str] = []
    for event in _events(read_fd, progress, waiting):
        name = event["name"]
        if event["event"] == "started":
            waiting.append(name)
        elif event["event"] == "ready":
            waiting.remove(name)
            progress.line(f"  {name:<12} {event['ms']:>6} ms")
        elif event["event"] == "up":
            progress.done()
            return
        elif event["event"] == "failed":
            log = data_dir / "log" / f"{name}.log"
            raise StartFailed(
                f"{name} ended with {_reason(event['code'])} before it was ready",
                log,
                offsets.get(log.name, 0),
            )
    log = data_dir / "log" / f"{waiting[0] if waiting else 'supervisor'}.log"
    what = f"{', '.join(waiting)} not ready after" if waiting else "the supervisor ended after"
    raise StartFailed(f"{what} {progress.seconds:.0f} s", log, offsets.get(log.name, 0))


def _events(read_fd: int, progress: Progress, waiting: list[str]) -> Iterator[dict[str, Any]]:
    """What the supervisor tells; ends when it has gone or after START_TIMEOUT_S."""
    import select

    buffer = b""
    while progress.seconds < START_TIMEOUT_S:
        progress.waiting_for(f"  waiting for {', '.join(waiting)}")
        if not select.select([read_fd], [], [], 0.1)[0]:
            continue
        data = os.read(read_fd, 65536)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _stop_again(process: subprocess.Popen[bytes], data_dir: Path, progress: Progress) -> None:
    """After a failed start: the supervisor first (it may be stopping by itself), then the rest."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    stop_cluster(data_dir, progress, grace_s=0, quiet=True)


def _reason(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


# --- telling ------------------------------------------------------------------------------------


def _tell_running(data_dir: Path, progress: Progress) -> None:
    config = cluster_config.read(data_dir)
    assert config is not None
    progress.line(f"already running in {data_dir} at {cluster_config.server_url(config)}")


def _tell_failure(failure: StartFailed) -> None:
    click.echo(f"error: the cluster did not start: {failure}", err=True)
    if failure.log:
        click.echo(f"the end of {failure.log}:", err=True)
        for line in tail(failure.log, failure.offset):
            click.echo(f"  {line}", err=True)


def _run_until_interrupted(
    process: subprocess.Popen[bytes] | systemd_unit.Foreign, data_dir: Path
) -> int:
    """Wait for Ctrl-C (or SIGTERM, SIGHUP), then stop like `podium down`."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
        click.echo("press Ctrl-C to stop it (its data stays)")
        systemd_unit.say_ready()
        process.wait()
    except KeyboardInterrupt:
        click.echo()
        progress = Progress()
        with operation_lock(data_dir, progress):
            process.terminate()
            is_clean = stop_cluster(data_dir, progress)
            process.wait()
        return 0 if is_clean else 1
    if cluster_config.read(data_dir) is None or not processes.read_components(data_dir):
        return 0
    alive = [component for component in processes.read_components(data_dir) if component.pid]
    if not alive:
        return 0  # somebody said `podium down`
    click.echo("error: the supervisor was killed; podium up brings it back", err=True)
    return 1
