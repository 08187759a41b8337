"""Room podium/cli: `podium down` ends a cluster, whatever state it is in, and keeps its data.

It works from records (pid and start time) and from the kubelet's own --teardown, so it also works
when the supervisor, or everything, was killed or the machine was rebooted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from podium.cli import cluster_config, preflight, processes, systemd
from podium.cli.options import cluster_options
from podium.cli.progress import Progress
from podium.cli.supervisor import STOP_GRACE_S, component_environment

TAIL_LINES = 20
TAIL_BYTES = 64 * 1024
TEARDOWN_TIMEOUT_S = 600.0  # a bound for a hung kernel, not a figure to reach


@click.command()
@click.option("--purge", is_flag=True, help="Remove the data as well: nothing is left.")
@click.option(
    "--grace-period",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Between SIGTERM and SIGKILL for each container.",
)
@cluster_options
def command(data_dir: Path, purge: bool, grace_period: float | None) -> None:
    """Stop the cluster and its containers; the data stays and `up` brings the workloads back."""
    try:
        check_root_unless_simulated(data_dir)
        is_clean = bring_down(data_dir, purge, grace_period, Progress())
    except (preflight.Unfit, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if not is_clean:
        raise SystemExit(1)


def check_root_unless_simulated(data_dir: Path) -> None:
    """Only a cluster that makes no containers may belong to somebody else."""
    try:
        found = cluster_config.read(data_dir)
    except PermissionError:
        found = None  # it is root's
    if found is None or not found.is_simulated:
        preflight.check_root()


def bring_down(data_dir: Path, purge: bool, grace_s: float | None, progress: Progress) -> bool:
    """Stop a cluster, and purge it; False (told on stderr) if something could not be removed."""
    if not cluster_config.config_path(data_dir).exists():
        progress.line(f"there is no cluster in {data_dir}")
        return True
    (data_dir / "run").mkdir(mode=0o700, exist_ok=True)
    with operation_lock(data_dir, progress):
        is_clean = stop_cluster(data_dir, progress, grace_s)
        if is_clean and purge:
            systemd.remove(data_dir)
            remove_data(data_dir, progress)
    return is_clean


def stop_cluster(
    data_dir: Path, progress: Progress, grace_s: float | None = None, *, quiet: bool = False
) -> bool:
    """End supervisor, components and containers, and remove every kernel object of theirs.

    Safe to call in any state, any number of times. The caller holds the operation lock.
    """
    config = cluster_config.read(data_dir)
    if config is None:
        return True
    progress.waiting_for("stopping")
    end_processes(data_dir)
    real = () if config.is_simulated else config.nodes
    results = [_teardown(data_dir, node.name, grace_s, progress) for node in real]
    progress.done()
    if all(results) and not quiet:
        progress.line(f"stopped the cluster in {data_dir} after {progress.seconds:.1f} s")
    return all(results)


def end_processes(data_dir: Path) -> None:
    """End the supervisor (which ends its components), then whatever it could not or did not."""
    supervisor = processes.read_supervisor(data_dir)
    if supervisor:
        processes.end([supervisor], 2 * STOP_GRACE_S + 1)
    left = [c.process for c in processes.read_components(data_dir) if c.pid]
    stuck = processes.end(left, STOP_GRACE_S)
    if stuck:
        pids = ", ".join(str(process.pid) for process in stuck)
        raise preflight.Unfit(f"process {pids} cannot be killed: it hangs in the kernel")


def _teardown(data_dir: Path, node: str, grace_s: float | None, progress: Progress) -> bool:
    """Run the kubelet's --teardown; tells its last lines if it fails."""
    log = data_dir / "log" / "teardown.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    argv = [sys.executable, "-P", "-m", "kubelet", "--data-dir", str(data_dir), "--node", node]
    argv.append("--teardown")
    if grace_s is not None:
        argv += ["--grace", f"{grace_s:g}"]
    progress.waiting_for(f"ending the containers of {node}")
    with open(log, "wb") as output:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=component_environment(),
                timeout=TEARDOWN_TIMEOUT_S,
                check=False,
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
    if code != 0:
        progress.done()
        click.echo(f"error: not everything of node {node} could be removed:", err=True)
        for line in tail(log):
            click.echo(f"  {line}", err=True)
    return code == 0


# --- the data directory -------------------------------------------------------------------------


def remove_data(data_dir: Path, progress: Progress) -> None:
    """Empty the data directory. Refuses while anything is mounted below it: what lies behind a
    mount is not ours to remove."""
    mounts = mounts_below(data_dir)
    if mounts:
        raise preflight.Unfit(f"{mounts[0]} is still mounted; nothing was removed from {data_dir}")
    config = cluster_config.read(data_dir)
    # cluster.json goes last: a purge that was interrupted can be said again.
    paths = sorted(data_dir.iterdir(), key=lambda path: path.name == "cluster.json")
    for path in paths:
        _remove(path)
    progress.line(f"removed everything in {data_dir}")
    if config and not config.database.startswith("sqlite"):
        progress.line("the database outside of it is left as it is")


def _remove(path: Path) -> None:
    """By rm(1): a claim's directory may be deeper than Python's `shutil.rmtree` can go."""
    argv = ["rm", "-rf", "--one-file-system", "--", str(path)]
    done = subprocess.run(argv, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise preflight.Unfit(f"{path} was not removed: {done.stderr.strip()[-TAIL_BYTES:]}")


def mounts_below(directory: Path) -> list[str]:
    """Mount points of this process's mount namespace inside a directory."""
    prefix = f"{directory.resolve()}/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")  # spaces are written \040
        if point.startswith(prefix):
            found.append(point)
    return found


@contextlib.contextmanager
def operation_lock(data_dir: Path, progress: Progress) -> Iterator[None]:
    """Only one `up` or `down` at a time works on a data directory; others wait their turn."""
    path = processes.run_dir(data_dir) / "operation.lock"
    fd = _lock(path, progress)
    try:
        yield
    finally:
        os.close(fd)


def _lock(path: Path, progress: Progress) -> int:
    while True:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.line(f"another podium is at work in {path.parent.parent}; waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        # A purge removes the file while we wait for it: then the lock is worth nothing.
        if _is_same_file(fd, path):
            return fd
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def tail(path: Path, offset: int = 0, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, none from before `offset` (bytes)."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset if offset <= size else 0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]
