"""Between the Protocol's words and the CRI's: pure functions, dicts out, messages in.

Called by runtime.py. What the CRI cannot say (pids, disk limits) runtime.py writes into the cgroup
itself; what containerd cannot do at all is refused here by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kubelet.runtime.errors import (
    CommandNotExecutable,
    CommandNotFound,
    HostUnsupported,
    RuntimeFailure,
)
from kubelet.runtime.host_image import HostImage
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    Device,
    Mount,
    Resources,
    SandboxConfig,
    SandboxStatus,
)

Fields = dict[str, Any]

CLUSTER, SANDBOX = "podium.dev/cluster", "podium.dev/sandbox"  # labels
LABELS, CGROUP_PARENT = "podium.dev/labels", "podium.dev/cgroup-parent"  # annotations
NS_POD, NS_CONTAINER, NS_NODE = 0, 1, 2
_PID_MODES = {"pod": 0, "container": 1, "node": 2, "target": 3}
_RUNTIME_DEFAULT, _UNCONFINED, _LOCALHOST = 0, 1, 2
_SANDBOX_READY = 0
_STATES: tuple[ContainerState, ...] = ("created", "running", "exited", "exited")
_STARTED_TOO_EARLY_NS = 1_000_000_000  # containerd shows a container that never ran as of 1970
_NS = 1_000_000_000
_NOT_FOUND = re.compile(
    r'exec: "[^"]*": (executable file not found in \$PATH|stat [^:]*: no such.*?)'
)
_CANNOT_RUN = re.compile(r'exec: "[^"]*": (permission denied|is a directory)')
_NO_SUCH_FILE = re.compile(r'exec: "[^"]*": stat [^:]*: no such file or directory')


def sandbox_config(config: SandboxConfig, cluster: str, attempt: int) -> Fields:
    """A PodSandboxConfig; `cluster` is the node's cgroup root, which no other cluster has."""
    namespaces = {
        "network": NS_NODE if config.host_network else NS_POD,
        "ipc": NS_NODE if config.host_ipc else NS_POD,
        "pid": NS_POD if config.shares_pid else NS_CONTAINER,
    }
    return {
        "metadata": {
            "name": config.id, "uid": config.id, "namespace": cluster, "attempt": attempt,
        },
        "hostname": "" if config.host_network else config.hostname,
        "labels": {CLUSTER: cluster, SANDBOX: config.id},
        "annotations": {
            LABELS: json.dumps(config.labels), CGROUP_PARENT: config.cgroup_parent,
        },
        "linux": {
            "cgroup_parent": f"/{cluster}/{config.cgroup_parent}",
            "sysctls": config.sysctls,
            # What the sandbox's own process may do, which does nothing; without it no container in
            # it could be privileged.
            "security_context": {"namespace_options": namespaces, "privileged": True},
        },
    }  # fmt: skip


def container_config(
    config: ContainerConfig,
    sandbox: Fields,
    image: str,
    host: HostImage | None,
    node_of: Callable[[Device], str],
) -> Fields:
    """A ContainerConfig; `image` is containerd's name of it, `host` is given for the image `host`,
    `node_of` tells a device node of the host's."""
    binds = [Mount(path, path, readonly=True) for path in host.readonly_binds] if host else []
    return {
        "metadata": {"name": config.name, "attempt": config.attempt},
        "image": {"image": image},
        "command": config.argv,
        "working_dir": config.cwd or "/",
        "envs": [{"key": key, "value": value} for key, value in config.env.items()],
        "mounts": [_mount(mount) for mount in (*binds, *config.mounts)],
        "devices": [
            {"host_path": node_of(d), "container_path": d.path, "permissions": d.permissions}
            for d in config.devices
        ],
        "labels": {CLUSTER: sandbox["labels"][CLUSTER], SANDBOX: sandbox["labels"][SANDBOX]},
        "annotations": {LABELS: json.dumps(config.labels)},
        "log_path": config.log_path.rpartition("/")[2],
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "tty": config.tty,
        "linux": {
            "resources": container_resources(config.resources, config.oom_score_adj),
            "security_context": _security_context(config, sandbox),
        },
    }


_PROPAGATIONS = {"private": 0, "slave": 1, "shared": 2}  # CRI's MountPropagation


def _mount(mount: Mount) -> Fields:
    return {
        "host_path": mount.source,
        "container_path": mount.target,
        "readonly": mount.readonly,
        "propagation": _PROPAGATIONS[mount.propagation],
    }


def _security_context(config: ContainerConfig, sandbox: Fields) -> Fields:
    shared = sandbox["linux"]["security_context"]["namespace_options"]
    granted = [name.removeprefix("CAP_") for name in config.capabilities]
    context: Fields = {
        "privileged": config.privileged,
        "namespace_options": {
            **shared,
            "pid": _PID_MODES[config.pid_namespace],
            "target_id": config.pid_target_id,
        },
        "run_as_user": {"value": config.uid},
        "run_as_group": {"value": config.gid},
        "supplemental_groups": config.groups,
        "readonly_rootfs": config.readonly_rootfs,
        "no_new_privs": config.no_new_privileges,
        "seccomp": _seccomp(config.seccomp_profile),
        "apparmor": _apparmor(config.apparmor_profile),
    }
    if not config.privileged:
        context["capabilities"] = {"add_capabilities": granted, "drop_capabilities": ["ALL"]}
    return context


def _seccomp(profile: str) -> Fields:
    match profile:
        case "":
            return {"profile_type": _UNCONFINED}
        case "RuntimeDefault":
            return {"profile_type": _RUNTIME_DEFAULT}
    return {"profile_type": _LOCALHOST, "localhost_ref": profile}


def _apparmor(profile: str) -> Fields:
    if not profile:
        return {"profile_type": _UNCONFINED}
    return {"profile_type": _LOCALHOST, "localhost_ref": profile}


def refuse_unsupported(config: SandboxConfig | ContainerConfig) -> None:
    """RuntimeFailure that names what the CRI of containerd 1.6 has no word for."""
    if isinstance(config, SandboxConfig):
        missing = "user namespaces" if config.user_namespace else ""
    else:
        missing = "an unmasked /proc" if config.unmasked_proc else ""
        if any(mount.is_recursive for mount in config.mounts):
            missing = "recursive read-only mounts"
    if missing:
        raise HostUnsupported(f"containerd cannot give a Pod {missing}")


def container_resources(resources: Resources, oom_score_adj: int = 0) -> Fields:
    """A LinuxContainerResources: 0 leaves a value as it is. No swap but what is said."""
    memory = resources.memory_bytes or 0
    swap = (resources.swap_bytes or 0) if memory else 0
    return {
        "cpu_shares": resources.cpu_shares or 0,
        "cpu_quota": resources.cpu_quota_us or 0,
        "cpu_period": resources.cpu_period_us if resources.cpu_quota_us else 0,
        "memory_limit_in_bytes": memory,
        "memory_swap_limit_in_bytes": memory + swap,
        "cpuset_cpus": resources.cpuset_cpus,
        "oom_score_adj": oom_score_adj,
    }


# ---- what containerd answers --------------------------------------------------------------------


def sandbox_status(answer: Any) -> SandboxStatus:
    """From a verbose PodSandboxStatusResponse."""
    found = answer.status
    pid = int(json.loads(answer.info.get("info") or "{}").get("pid") or 0)
    is_ready = found.state == _SANDBOX_READY and pid > 0
    return SandboxStatus(
        id=found.metadata.uid,
        state="ready" if is_ready else "not_ready",
        shim_pid=pid if is_ready else 0,
        netns_path=f"/proc/{pid}/ns/net" if is_ready else "",
        created_at=found.created_at / _NS,
        labels=json.loads(found.annotations.get(LABELS) or "{}"),
    )


def container_status(answer: Any, sandbox_id: str) -> ContainerStatus:
    """From a verbose ContainerStatusResponse."""
    found = answer.status
    state = _STATES[found.state]
    has_run = found.started_at > _STARTED_TOO_EARLY_NS
    exit_code, reason, message = found.exit_code, found.reason, found.message
    if state == "exited" and not has_run:
        failure = start_failure(message)
        exit_code, reason = _START_EXIT_CODES.get(type(failure), 128), "StartError"
        message = str(failure)
    pid = int(json.loads(answer.info.get("info") or "{}").get("pid") or 0)
    return ContainerStatus(
        id=found.id,
        sandbox_id=sandbox_id,
        name=found.metadata.name,
        attempt=found.metadata.attempt,
        state=state,
        pid=pid if state == "running" else 0,
        created_at=found.created_at / _NS,
        started_at=found.started_at / _NS if has_run else 0.0,
        finished_at=found.finished_at / _NS if state == "exited" else 0.0,
        exit_code=exit_code,
        reason=reason if state == "exited" else "",
        message=message if state == "exited" else "",
        log_path=found.log_path,
        labels=json.loads(found.annotations.get(LABELS) or "{}"),
        engine="containerd",
    )


_START_EXIT_CODES = {CommandNotFound: 127, CommandNotExecutable: 126}


def start_failure(words: str) -> RuntimeFailure:
    """What runc said of a command that could not be run, by kind and without the calls above it."""
    for pattern, kind in (
        (_NO_SUCH_FILE, CommandNotFound),
        (_NOT_FOUND, CommandNotFound),
        (_CANNOT_RUN, CommandNotExecutable),
    ):
        if found := pattern.search(words):
            return kind(found[0])
    return RuntimeFailure(words)
