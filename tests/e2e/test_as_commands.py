"""`podium inspect --as-commands`: the script is run, and the kernel asked about both containers."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from kubelet.inspect import mounts
from kubelet.inspect.processes import Process
from tests.e2e.test_inspect import inspect
from tests.support.interruptible import INTERRUPTIBLE
from tests.support.namespaced import Namespaced, a_sleeper

LIMITS = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
PRIVILEGES = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
    "Seccomp", "Seccomp_filters", "Umask",
)  # fmt: skip
SHARED_WITH_ALL = {"user", "time"}


def a_confined_pod() -> dict[str, Any]:
    context = {
        "runAsUser": 1000, "runAsGroup": 2000, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]},
        "readOnlyRootFilesystem": True,
    }  # fmt: skip
    pod = a_sleeper(
        command=["sleep", "4567"], resources=LIMITS, securityContext=context, workingDir="/data",
        volumeMounts=[
            {"name": "data", "mountPath": "/data"},
            {"name": "data", "mountPath": "/var/run/x", "readOnly": True},
            {"name": "memory", "mountPath": "/memory"},
        ],
        env=[{"name": "GREETING", "value": "good 'day'"}],
    )  # fmt: skip
    pod["metadata"]["annotations"] = {"pids.podium.dev/main": "50"}
    pod["spec"]["securityContext"] = {"fsGroup": 3000}
    medium = {"medium": "Memory", "sizeLimit": "8Mi"}
    pod["spec"]["volumes"] = [
        {"name": "data", "emptyDir": {}}, {"name": "memory", "emptyDir": medium},
    ]  # fmt: skip
    return pod


@contextmanager
def running_by_hand(
    ns: Namespaced, script: Path, stop: signal.Signals = signal.SIGTERM
) -> Iterator[int]:
    """The pid of the first process of what the script builds; nothing of it is left at the end."""
    argv = [*INTERRUPTIBLE, "bash", str(script)]
    process = subprocess.Popen(argv, start_new_session=True)
    name = f"by-hand-{process.pid}"
    try:
        yield ns.cluster.until(lambda: first_process(process, name))
    finally:
        process.send_signal(stop)
        process.wait(60)
    assert glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True) == []
    assert glob.glob(f"/tmp/{name}*") == []
    assert not Path(f"/sys/class/net/hand{process.pid}").exists()


def first_process(script: subprocess.Popen[bytes], name: str) -> int:
    """Once it has become the command."""
    assert script.poll() is None, "the script has ended"
    for file in glob.glob(f"/sys/fs/cgroup/**/{name}/container/cgroup.procs", recursive=True):
        for pid in Path(file).read_text().split():
            with contextlib.suppress(ProcessLookupError), Process(int(pid)) as process:
                if process.read("cmdline").startswith("sleep\0"):
                    return int(pid)
    return 0


def as_commands(ns: Namespaced, path: Path) -> Path:
    told = ns.cluster.podium("inspect", "pod/web", "-n", ns.name, "--as-commands")
    path.write_text(told.stdout)
    return path


def privileges(pid: int) -> dict[str, str]:
    with Process(pid) as process:
        status = process.status()
        return {name: status[name] for name in PRIVILEGES} | {
            name: process.read(name) for name in ("oom_score_adj", "limits", "cmdline", "environ")
        }


def seen_mounts(pid: int) -> list[tuple[str, str, list[str]]]:
    found = mounts.read(Path(f"/proc/{pid}/mountinfo").read_text())
    return sorted((one["target"], one["type"], sorted(one["options"])) for one in found)


def in_network_of(pid: int, *command: str) -> str:
    argv = ["nsenter", "-t", str(pid), "--net", "--uts", "--", *command]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_the_script_builds_what_the_kernel_sees_as_the_same_container(
    ns: Namespaced, tmp_path: Path
) -> None:
    ns.apply(a_confined_pod())
    ns.wait("pod/web", "condition=Ready")
    (live,) = inspect(ns, "web")["containers"]
    with running_by_hand(ns, as_commands(ns, tmp_path / "web.sh")) as pid:
        check_cgroups(live, pid)
        assert privileges(pid) == privileges(live["pid"])
        assert os.readlink(f"/proc/{pid}/cwd") == os.readlink(f"/proc/{live['pid']}/cwd")
        assert seen_mounts(pid) == seen_mounts(live["pid"])
        check_namespaces(live["pid"], pid)
        check_network(live["pid"], pid)


def check_cgroups(live: dict[str, Any], pid: int) -> None:
    """Every file that holds a limit of the live container holds the same for the other."""
    (number,) = {line.split("by-hand-")[1].split("/")[0] for line in cgroups_of(pid)}
    compared = 0
    for row in live["rows"]:
        if row["hierarchy"] and row["field"]:  # what no field asked for tells of pressure (v2)
            tree = row["file"].split("/podium-")[0]
            file = Path(tree, f"by-hand-{number}", "container", os.path.basename(row["file"]))
            assert file.read_text().strip() == row["live"], file
            compared += 1
    assert compared >= 5


def cgroups_of(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return [line for line in lines if "by-hand-" in line]


def check_namespaces(live: int, pid: int) -> None:
    with Process(live) as one, Process(pid) as other, Process(os.getpid()) as own:
        theirs, ours, hosts = one.namespaces(), other.namespaces(), own.namespaces()
    assert {kind for kind in ours if ours[kind] == theirs[kind]} == SHARED_WITH_ALL
    assert {kind for kind in ours if ours[kind] == hosts[kind]} == SHARED_WITH_ALL


def check_network(live: int, pid: int) -> None:
    """The same shape: a veth called eth0 with another address of the same subnet, and a route."""
    assert in_network_of(pid, "hostname") == in_network_of(live, "hostname")
    shapes = [
        [shape(line) for line in in_network_of(one, "ip", "-o", "-4", "addr").splitlines()]
        for one in (live, pid)
    ]
    assert shapes[0] == shapes[1]
    routes = [in_network_of(one, "ip", "-4", "route", "show", "default") for one in (live, pid)]
    assert routes[0].split()[:5] == routes[1].split()[:5]
    addresses = [
        in_network_of(one, "ip", "-o", "-4", "addr", "show", "eth0") for one in (live, pid)
    ]
    assert addresses[0] != addresses[1]


def shape(line: str) -> tuple[str, IPv4Network]:
    """An interface, and the subnet that it is in."""
    _number, name, _family, address = line.split()[:4]
    return name, IPv4Interface(address).network


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of the Pod, of its container
    "user namespace": ({"hostUsers": False}, {}),
    "shared PID namespace": ({"shareProcessNamespace": True}, {}),
    "privileged": ({}, {"securityContext": {"privileged": True}}),
    "the host's": ({"hostPID": True, "hostIPC": True, "hostNetwork": True}, {"tty": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_builds_containers_of_every_kind(
    ns: Namespaced, tmp_path: Path, kind: str
) -> None:
    of_pod, of_container = KINDS[kind]
    data = {"name": "data", "mountPath": "/data"}
    pod = a_sleeper(command=["sleep", "4567"], volumeMounts=[data], **of_container)
    pod["spec"] |= of_pod | {"volumes": [{"name": "data", "emptyDir": {}}]}
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    live = inspect(ns, "web")["containers"][0]["pid"]
    with running_by_hand(ns, as_commands(ns, tmp_path / "web.sh")) as pid:
        assert privileges(pid) == privileges(live)
        assert seen_files(pid) == seen_files(live)
        assert of_the_host(pid) == of_the_host(live)
        assert devices(pid) == devices(live)


def seen_files(pid: int) -> tuple[list[Any], list[Any]]:
    """Mounts, and whose the files are; a script's container has no terminal of its own."""
    mounted = [one for one in seen_mounts(pid) if one[0] != "/dev/console"]
    root = f"/proc/{pid}/root"
    owners = [
        (path.removeprefix(root), os.lstat(path).st_uid, oct(os.lstat(path).st_mode))
        for pattern in ("/*", "/dev/*", "/etc/host*") for path in sorted(glob.glob(root + pattern))
        if not path.endswith("/dev/console")
    ]  # fmt: skip
    return mounted, owners


def of_the_host(pid: int) -> tuple[set[str], str]:
    """The namespaces that it shares with this process, and the ids that it has outside."""
    with Process(pid) as one, Process(os.getpid()) as own:
        inside, outside = one.namespaces(), own.namespaces()
        return {kind for kind in inside if inside[kind] == outside[kind]}, one.read("uid_map")


def devices(pid: int) -> str:
    """What it may open; v2 has a program for that, which is not read back."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _number, name, path = line.split(":", 2)
        file = Path(f"/sys/fs/cgroup/devices{path}/devices.list")
        if name == "devices" and file.exists():
            return file.read_text()
    return ""


def test_bandwidth_and_host_ports_are_the_script_s_own(ns: Namespaced, tmp_path: Path) -> None:
    port = {"containerPort": 80, "hostPort": 20480, "hostIP": "127.0.0.1"}
    pod = a_sleeper(command=["sleep", "4567"], ports=[port])
    pod["metadata"]["annotations"] = {
        "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M",
    }  # fmt: skip
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    with running_by_hand(ns, as_commands(ns, tmp_path / "web.sh")) as pid:
        (number,) = {line.split("by-hand-")[1].split("/")[0] for line in cgroups_of(pid)}
        uid = ns.get("pod", "web")["metadata"]["uid"]
        live = json.loads(told("ip", "-j", "link", "show"))
        names = {one["ifname"] for one in live if one.get("ifalias") == uid}
        ifb = next(name for name in names if name.startswith("ifb"))
        assert limits(f"hand{number}") == limits(*names - {ifb})
        assert limits(f"hifb{number}") == limits(ifb)
        assert "mirred (Egress Redirect to device hifb" in told(
            "tc", "filter", "show", "dev", f"hand{number}", "parent", "ffff:"
        )
        address = in_network_of(pid, "hostname", "-I").strip()
        rules = told("nft", "list", "chain", "ip", f"by-hand-{number}", "hostports")
        words = f"ip daddr 127.0.0.1 tcp dport {20480 + 32768}"
        assert f"{words} counter packets 0 bytes 0 dnat to {address}:80" in rules


def told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def limits(interface: str) -> list[tuple[str, Any]]:
    queues = json.loads(told("tc", "-j", "qdisc", "show", "dev", interface))
    return [(one["kind"], one["options"]) for one in queues]


def test_no_secret_stands_in_the_script_and_an_interrupt_cleans_up(
    ns: Namespaced, tmp_path: Path
) -> None:
    pod = a_sleeper(command=["sleep", "4567"], env=[{"name": "TOKEN", "value": "s3cr3t"}])
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    script = as_commands(ns, tmp_path / "web.sh")
    assert "s3cr3t" not in script.read_text()
    with running_by_hand(ns, script, signal.SIGINT) as pid:
        assert b"TOKEN=s3cr3t" in Path(f"/proc/{pid}/environ").read_bytes()
