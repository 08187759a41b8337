"""The controllers' process as a whole: `python -m controllers` beside the real API server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import controllers
from podium.api import debugging
from podium.client.lease import LEASES
from tests.support.api_server import (
    ApiServerProcess,
    await_ready,
    run_component,
    running_api_server,
)
from tests.support.builders import a_deployment, unstored
from tests.support.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path) as server:
        yield server


@pytest.fixture
def manager(server: ApiServerProcess) -> Iterator[subprocess.Popen[bytes]]:
    process = start_manager(server)
    yield process
    stop(process)


def start_manager(server: ApiServerProcess) -> subprocess.Popen[bytes]:
    read_fd, write_fd = os.pipe()
    process = run_component("controllers", server.data_dir, write_fd)
    os.close(write_fd)
    await_ready(read_fd, process, server.data_dir / "controllers.log")
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def replicas(server: ApiServerProcess, name: str) -> int:
    deployment = server.client().get("deployments", name, "default")
    return int(deployment["status"].get("replicas") or 0)


def test_a_manager_that_is_killed_resumes_its_lease_at_once(
    server: ApiServerProcess, manager: subprocess.Popen[bytes]
) -> None:
    client = server.client()
    client.create("deployments", unstored(a_deployment("one", 2)))
    eventually(lambda: replicas(server, "one") == 2)
    manager.kill()
    manager.wait()
    client.create("deployments", unstored(a_deployment("two", 3)))
    again = start_manager(server)
    eventually(lambda: replicas(server, "two") == 3, timeout_s=5)
    stop(again)
    lease = client.get("leases", "kube-controller-manager", "kube-system")
    assert lease["spec"]["leaseTransitions"] == 0
    assert lease["spec"]["holderIdentity"] == ""  # released on SIGTERM


@pytest.mark.usefixtures("manager")
def test_a_rollout_goes_on_after_kill_9_of_the_server(server: ApiServerProcess) -> None:
    client = server.client()
    client.create("deployments", unstored(a_deployment("web", 20)))
    server.kill()
    server.start()
    eventually(lambda: replicas(server, "web") == 20)
    assert len(client.list("pods", "default")["items"]) == 20


def test_sigterm_ends_it_soon_even_when_the_server_is_away(
    server: ApiServerProcess, manager: subprocess.Popen[bytes]
) -> None:
    server.client().create("deployments", unstored(a_deployment("web", 50)))
    server.kill()
    manager.send_signal(signal.SIGTERM)
    assert manager.wait(4) == 0


def test_a_rollout_goes_on_when_the_controllers_are_killed_again_and_again(
    server: ApiServerProcess,
) -> None:
    client = server.client()
    client.create("deployments", unstored(a_deployment("web", 20)))
    for _ in range(4):
        process = start_manager(server)
        process.kill()
        process.wait()
    process = start_manager(server)
    eventually(lambda: replicas(server, "web") == 20)
    stop(process)
    assert len(client.list("replicasets.apps", "default")["items"]) == 1
    assert len(client.list("pods", "default")["items"]) == 20


def test_a_manager_may_start_before_the_server(server: ApiServerProcess) -> None:
    server.kill()
    read_fd, write_fd = os.pipe()
    process = run_component("controllers", server.data_dir, write_fd)
    os.close(write_fd)
    server.start()
    await_ready(read_fd, process, server.data_dir / "controllers.log")
    stop(process)


# --- under a debugger ---------------------------------------------------------------------------

BREAKPOINTS = "breakpoints.debug.podium.dev"


def set_breakpoint(server: ApiServerProcess, **spec: object) -> None:
    server.client().create(
        BREAKPOINTS, {"metadata": {"name": "stop"}, "spec": {"controller": "deployment", **spec}}
    )


def status(server: ApiServerProcess) -> dict[str, Any]:
    return dict(server.client().get(BREAKPOINTS, "stop").get("status") or {})


def act(server: ApiServerProcess, **action: str) -> None:
    server.client().patch(BREAKPOINTS, "stop", None, {"spec": {"action": action}})


def test_every_loop_that_a_breakpoint_may_name_is_there_to_be_stopped() -> None:
    started = {
        name
        for path in Path(controllers.__path__[0]).rglob("*.py")
        for name in re.findall(r'^    name = "(.*)"', path.read_text(), re.MULTILINE)
    }
    assert started | {"persistentvolume-binder-pv"} == set(debugging.LOOPS)


def test_a_crash_where_it_stopped_kills_the_process_once_and_its_successor_goes_on(
    server: ApiServerProcess, manager: subprocess.Popen[bytes]
) -> None:
    set_breakpoint(server, once=True)
    server.client().create("deployments", unstored(a_deployment("one", 1)))
    eventually(lambda: status(server).get("stopped"))
    act(server, type="Inject", inject="Crash")
    assert manager.wait(10) == -signal.SIGKILL
    assert status(server)["lastAction"]["inject"] == "Crash"
    successor = start_manager(server)
    try:
        eventually(lambda: replicas(server, "one") == 1)
        eventually(lambda: status(server)["stopped"] == [])
    finally:
        stop(successor)


def test_a_stop_ends_when_the_server_is_away_and_meanwhile_the_lease_is_kept(
    server: ApiServerProcess, manager: subprocess.Popen[bytes]
) -> None:
    client = server.client()
    set_breakpoint(server)
    client.create("deployments", unstored(a_deployment("one", 1)))
    eventually(lambda: status(server).get("stopped"))
    renewed = client.get(LEASES, "kube-controller-manager", "kube-system")["spec"]["renewTime"]
    eventually(
        lambda: (
            client.get(LEASES, "kube-controller-manager", "kube-system")["spec"]["renewTime"]
            > renewed
        )
    )
    server.kill()
    log = server.data_dir / "controllers.log"
    eventually(lambda: "ServerAway" in log.read_text(), 20)
    server.start()
    eventually(lambda: manager.poll() is None and status(server).get("lastRelease"))


def test_a_manager_that_is_told_to_stop_does_so_with_a_reconcile_stopped(
    server: ApiServerProcess, manager: subprocess.Popen[bytes]
) -> None:
    set_breakpoint(server)
    server.client().create("deployments", unstored(a_deployment("one", 1)))
    eventually(lambda: status(server).get("stopped"))
    stop(manager)
