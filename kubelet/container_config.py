"""From a container of a PodSpec to the `ContainerConfig` that the runtime is given.

Room kubelet; called by pod_sync.py, in its worker threads, once the Pod has an address and volumes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubelet import security, security_admission
from kubelet.api_address import SERVICE_ADDRESS, SERVICE_PORT, service_environment
from kubelet.cgroup_values import CgroupValues, weight_warnings
from kubelet.devices import devices_of
from kubelet.disks import disk_below
from kubelet.dns import dns_of
from kubelet.environment import ConfigMissing, Surroundings, environment, expand
from kubelet.image_keeper import IMAGE_LABEL
from kubelet.image_puller import Pulled
from kubelet.image_volumes import image_volumes
from kubelet.pod_files import etc_mounts, termination_mount
from kubelet.pod_hostname import kernel_name
from kubelet.resources import oom_score_adj
from kubelet.runtime.capabilities import NAMES as CAPABILITIES
from kubelet.runtime.protocol import ContainerConfig, PidNamespace, Resources
from kubelet.seccomp import SeccompProfiles
from kubelet.security_admission import Modules
from kubelet.user_label import USER_LABEL, user_label
from kubelet.user_lookup import User, resolve_user
from kubelet.volumes import Volumes
from podium.api.resource_annotations import asks_for_io_weight, speaks_of_io

Object = dict[str, Any]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_GRACE_S = 30


class NoCommand(Exception):
    """Neither the container nor its image says what to run: CreateContainerError."""


class ContainerConfigs:
    """Makes configs; knows where a container's log goes. `api_server` is its address and port on
    the host's network."""

    def __init__(
        self, node_dir: str, volumes: Volumes, values: CgroupValues, modules: Modules, *,
        api_server: tuple[str, int] = ("127.0.0.1", 6443),
    ) -> None:  # fmt: skip
        self._node_dir = node_dir
        self._api_server = api_server
        self.dns = dns_of(values.settings)
        self._logs = Path(node_dir) / "logs"
        self._volumes = volumes
        self._values = values
        self._modules = modules
        self._seccomp = SeccompProfiles(
            f"{node_dir}/seccomp", is_default=values.settings.seccomp_default
        )

    def make(
        self, pod: Object, container: Object, attempt: int, *, image: Pulled,
        around: Surroundings, paths: Mapping[str, str], target_id: str = "",
    ) -> ContainerConfig:  # fmt: skip
        """`target_id` is the container whose PID namespace it is to be in, "" for none. Raises
        ConfigMissing, UnknownUser, VolumeError, NoCommand or ProfileError."""
        if module := security_admission.unenforceable(pod, container, self._modules):
            raise ConfigMissing(module.problem)
        name, context = container["name"], security.context_of(container)
        is_privileged = bool(context.get("privileged"))
        user = _user(pod, container, image)
        groups = security.groups_of(pod, user.gid, user.groups)
        capabilities = security.capabilities(container, CAPABILITIES)
        seccomp = profile_source = ""  # no filter would fit a privileged container
        if not is_privileged:
            profile = security.seccomp_profile(pod, container)
            seccomp = self._seccomp.program(profile, capabilities)
            profile_source = self._seccomp.source(profile)
        is_on_host = bool(pod["spec"].get("hostNetwork"))
        api = self._api_server if is_on_host else (SERVICE_ADDRESS, SERVICE_PORT)
        services = service_environment(*api)
        env = {"HOSTNAME": kernel_name(pod, self.dns.domain)}
        env |= _environment(pod, container, image, user, around, services=services)
        pod_dir = self._volumes.pod_dir(pod["metadata"]["uid"])
        taken = [mount["mountPath"] for mount in container.get("volumeMounts") or ()]
        volume_mounts = self._volumes.mounts(pod, container, paths, env)
        disks = self._disks(pod, [mount.source for mount in volume_mounts])
        return ContainerConfig(
            name=name,
            attempt=attempt,
            argv=_argv(container, image, env),
            env=env,
            cwd=container.get("workingDir") or image.working_dir or "/",
            log_path=str(self._new_log(pod, name, attempt)),
            lower_dirs=list(image.layers),
            mounts=[
                *image_volumes(
                    image.volumes, image.layers, taken, pod_dir / "image-volumes" / name, attempt
                ),
                *etc_mounts(pod, around.pod_ip, pod_dir / "etc", taken, self.dns),
                termination_mount(container, pod_dir, attempt),
                *volume_mounts,
            ],
            devices=[
                *devices_of(pod, container),
                *self._volumes.devices(container, paths, pod["spec"].get("volumes") or ()),
            ],
            uid=user.uid,
            gid=user.gid,
            groups=groups,
            capabilities=capabilities,
            seccomp=seccomp,
            seccomp_profile=profile_source,
            apparmor_profile=self._modules.apparmor.name_for(
                security.apparmor_profile(pod, container), is_privileged=is_privileged
            ),
            no_new_privileges=context.get("allowPrivilegeEscalation") is False,
            unmasked_proc=context.get("procMount") == "Unmasked",
            readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
            privileged=is_privileged,
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            tty=bool(container.get("tty")),
            pid_namespace=_pid_namespace(pod, target_id),
            pid_target_id=target_id,
            resources=self._values.of_container(pod, container, disks),
            oom_score_adj=oom_score_adj(pod, container, self._values.hardware.memory_bytes),
            stop_signal=_signal_number(image.stop_signal),
            labels={
                "grace": str(grace_s(pod)),
                IMAGE_LABEL: image.id,
                USER_LABEL: user_label(user.uid, user.gid, groups),
            },
        )

    @property
    def values(self) -> CgroupValues:
        return self._values

    def problems(self, pod: Object) -> Iterable[str]:
        """Why this machine cannot do what the Pod's annotations ask for."""
        return self._values.cpuset_problems(pod)

    def pod_resources(self, pod: Object, paths: Iterable[str]) -> Resources:
        """Of the whole Pod, once its volumes lie at `paths`."""
        return self._values.of_pod(pod, self._disks(pod, paths))

    def io_warnings(self, pod: Object, paths: Iterable[str]) -> list[str]:
        """What is asked of the disks and has no effect on them."""
        if not asks_for_io_weight(pod["metadata"].get("annotations") or {}):
            return []
        return weight_warnings(self._disks(pod, paths))

    def _disks(self, pod: Object, paths: Iterable[str]) -> set[tuple[int, int]]:
        """Below its root and its volumes; not looked for unless something is said of them."""
        if not speaks_of_io(pod["metadata"].get("annotations") or {}):
            return set()
        found = (disk_below(path) for path in (self._node_dir, *paths))
        return {disk for disk in found if disk is not None}

    # ---- logs ----

    def log_dir(self, pod: Object) -> Path:
        about = pod["metadata"]
        return self._logs / f"{about['namespace']}_{about['name']}_{about['uid']}"

    def log_file(self, pod: Object, container: str, attempt: int) -> Path:
        return self.log_dir(pod) / container / f"{attempt}.log"

    def log_dirs_of(self, uid: str) -> list[Path]:
        return list(self._logs.glob(f"*_{uid}"))

    def pods_with_logs(self) -> set[str]:
        """Uids."""
        try:
            return {name.rpartition("_")[2] for name in os.listdir(self._logs)}
        except FileNotFoundError:
            return set()

    def _new_log(self, pod: Object, container: str, attempt: int) -> Path:
        """Its directory is there; only the attempt before keeps its log as well."""
        path = self.log_file(pod, container, attempt)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        kept = {str(attempt), str(attempt - 1)}
        for old in os.listdir(path.parent):
            if old.partition(".")[0] not in kept:
                (path.parent / old).unlink()
        return path


def grace_s(pod: Object) -> int:
    found = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_S if found is None else int(found)


def _user(pod: Object, container: Object, image: Pulled) -> User:
    security.check_non_root(pod, container, image.user)
    user, group = security.user_of(pod, container, image.user)
    return resolve_user(user, group, image.layers)


def _environment(
    pod: Object, container: Object, image: Pulled, user: User, around: Surroundings,
    *, services: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    env = {"PATH": DEFAULT_PATH}
    if container.get("tty"):
        env["TERM"] = "xterm"
    env |= dict(line.partition("=")[::2] for line in image.env)
    env |= environment(pod, container, around, services)
    env.setdefault("HOME", user.home)
    return env


def _argv(container: Object, image: Pulled, env: Mapping[str, str]) -> list[str]:
    """`command` replaces the image's entrypoint and its arguments, `args` only those."""
    command = [expand(word, env) for word in container.get("command") or ()]
    args = [expand(word, env) for word in container.get("args") or ()]
    if not command:
        command, args = list(image.entrypoint), args or list(image.cmd)
    if not command + args:
        raise NoCommand("failed to generate container spec: no command specified")
    return command + args


def _pid_namespace(pod: Object, target_id: str) -> PidNamespace:
    if pod["spec"].get("hostPID"):
        return "node"
    if pod["spec"].get("shareProcessNamespace"):
        return "pod"
    return "target" if target_id else "container"


def _signal_number(name: str) -> int:
    """ "SIGQUIT", "QUIT" or "3"; SIGTERM for what Linux does not know."""
    if name.isdigit():
        return int(name)
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", signal.SIGTERM)
    return int(found)


__all__ = ["ConfigMissing", "ContainerConfigs", "NoCommand", "grace_s"]
