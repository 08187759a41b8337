"""Attempts to get from one Pod to another's things, or to the node's, through what the API offers.
(What a container tries against the kernel is in tests/node/runtime/test_escapes.py.)"""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper

Object = dict[str, Any]
WORD = "correct-horse-battery"


def a_pod_with(volume: Object, name: str = "web", **spec: Any) -> Object:
    """A sleeper with one volume at /data."""
    pod = a_sleeper(name, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    pod["spec"] |= {"volumes": [{"name": "data"} | volume]} | spec
    return pod


def a_secret() -> Object:
    data = {"word": base64.b64encode(WORD.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "data": data}


def has_failed(ns: Namespaced, pod: str, script: str) -> bool:
    return ns.kubectl("exec", pod, "--", "sh", "-c", script, check=False).returncode != 0


def test_a_pods_secret_is_nowhere_in_another_pod(ns: Namespaced) -> None:
    ns.apply(a_secret(), a_pod_with({"secret": {"secretName": "secret"}}, "keeper"))
    ns.apply(a_sleeper("thief"))
    for pod in ("keeper", "thief"):
        ns.wait(f"pod/{pod}", "condition=Ready")
    search = f"grep -rsl {WORD} / --include=word --exclude-dir=sys --exclude-dir=usr | head -5"
    assert "/data/" in ns.sh("keeper", search)
    assert ns.sh("thief", search) == ""
    mounts = ns.sh("thief", "grep secret /proc/self/mountinfo").splitlines()
    assert all("/kubernetes.io/serviceaccount " in line for line in mounts), mounts


def test_the_nodes_files_are_for_root_alone(ns: Namespaced) -> None:
    """Also for a Pod to which somebody gave the node's disk, but not its root user."""
    ns.apply(a_secret(), a_pod_with({"secret": {"secretName": "secret"}}, "keeper"))
    ns.wait("pod/keeper", "condition=Ready")
    data_dir = ns.cluster.data_dir
    reader = {"securityContext": {"runAsUser": 1000, "runAsGroup": 1000}}
    path = {"hostPath": {"path": str(data_dir.parent)}}
    ns.apply(a_pod_with(path, "reader", **reader))
    ns.wait("pod/reader", "condition=Ready")
    assert has_failed(ns, "reader", f"ls /data/{data_dir.name}")
    for directory in (data_dir, *data_dir.glob("nodes/*")):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o077 == 0, directory
    for key in data_dir.glob("pki/*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key


def test_hostpid_shows_the_nodes_processes_and_gives_none_of_what_they_have(
    ns: Namespaced,
) -> None:
    pod = a_sleeper()
    pod["spec"]["hostPID"] = True
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    pids = [c["pid"] for c in ns.cluster.components() if c["pid"]]
    assert pids
    for pid in pids:
        assert not has_failed(ns, "web", f"test -d /proc/{pid}")
        for what in ("root/etc", "cwd/", "environ", "mem", "exe", "map_files/"):
            script = f"ls /proc/{pid}/{what}/. || head -c 1 /proc/{pid}/{what}"
            assert has_failed(ns, "web", script), what


def test_containers_share_no_keys_whatever_user_they_run_as(ns: Namespaced) -> None:
    """A user's keyring is one for the whole node; the default filter lets nobody call it."""
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    keyctl = "import ctypes; print(ctypes.CDLL(None).syscall(250, 0, -4, 0))"
    assert ns.sh("web", f"python3 -c '{keyctl}'") == "-1"


def test_a_container_makes_no_user_namespace_by_default(ns: Namespaced) -> None:
    """In one it could mount its own cgroup (v1) and raise its limits."""
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    assert has_failed(ns, "web", "unshare --user --map-root-user true")
    assert has_failed(ns, "web", "unshare --mount true")


def test_no_new_privileges_holds_for_set_user_id_programs(ns: Namespaced, tmp_path: Path) -> None:
    """A copy of `id` that belongs to root and has the bit."""
    program = tmp_path / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    tmp_path.chmod(0o755)
    volume = {"hostPath": {"path": str(tmp_path)}}
    user = {"runAsUser": 1000}
    free, bound = a_pod_with(volume, "free"), a_pod_with(volume, "bound")
    free["spec"]["containers"][0]["securityContext"] = user
    bound["spec"]["containers"][0]["securityContext"] = user | {"allowPrivilegeEscalation": False}
    ns.apply(free, bound)
    for pod, euid in (("free", "0"), ("bound", "1000")):
        ns.wait(f"pod/{pod}", "condition=Ready")
        assert ns.sh(pod, "/data/id -u") == euid
