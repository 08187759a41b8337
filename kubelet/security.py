"""What securityContext says of a container's user, groups and capabilities: pure functions.

Room kubelet; called by container_config.py. Source: Kubernetes docs "Configure a Security Context",
kubelet `pkg/kubelet/kuberuntime/security_context.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelet.environment import ConfigMissing

Object = dict[str, Any]

# What containerd and CRI-O give a container that asks for nothing special
DEFAULT_CAPABILITIES = frozenset({
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT",
    "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
})  # fmt: skip
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"  # + the container's name


_ALL = "CAP_ALL"  # every capability, or none, before the others are added and dropped


def pod_context(pod: Object) -> Object:
    return pod["spec"].get("securityContext") or {}


def context_of(container: Object) -> Object:
    return container.get("securityContext") or {}


def _either(pod: Object, container: Object, field: str) -> Any:
    """The container's own word, else the Pod's, else None."""
    own = context_of(container).get(field)
    return pod_context(pod).get(field) if own is None else own


def capabilities(container: Object, every: Sequence[str]) -> list[str]:
    """The default set, with what is added and then without what is dropped."""
    context = context_of(container)
    if context.get("privileged"):
        return list(every)
    changes = context.get("capabilities") or {}
    added = [_full_name(name) for name in changes.get("add") or ()]
    dropped = [_full_name(name) for name in changes.get("drop") or ()]
    wanted = set(every) if _ALL in added else set(DEFAULT_CAPABILITIES)
    if _ALL in dropped:
        wanted = set()
    wanted |= {name for name in added if name != _ALL}
    wanted -= set(dropped)
    if unknown := sorted(wanted - set(every)):
        raise ConfigMissing(f"unknown capability {unknown[0].removeprefix('CAP_')!r} to add")
    return [name for name in every if name in wanted]


def _full_name(name: str) -> str:
    """ "net_admin", "NET_ADMIN" and "CAP_NET_ADMIN" are the same, as in CRI-O."""
    name = name.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"


def seccomp_profile(pod: Object, container: Object) -> Object | None:
    """None if nothing is said."""
    found: Object | None = _either(pod, container, "seccompProfile")
    return found


def apparmor_profile(pod: Object, container: Object) -> str | None:
    """ "unconfined", "runtime/default" or "localhost/<name>", as the annotation that was there
    before the field has it; None if nothing is said."""
    if found := _either(pod, container, "appArmorProfile"):
        if found.get("type") == "Localhost":
            return f"localhost/{found.get('localhostProfile', '')}"
        return "unconfined" if found.get("type") == "Unconfined" else "runtime/default"
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(f"{APPARMOR_ANNOTATION}{container['name']}") or None


def selinux_options(pod: Object, container: Object) -> Object:
    """Empty if they say nothing."""
    return _either(pod, container, "seLinuxOptions") or {}


def user_of(pod: Object, container: Object, image_user: str) -> tuple[int | str, int | str | None]:
    """(user, group) by number or name: what securityContext says, else the image ("1000:users").
    A group of None is the one that /etc/passwd gives the user."""
    user, group = _either(pod, container, "runAsUser"), _either(pod, container, "runAsGroup")
    if user is not None:
        return user, group
    name, _, image_group = image_user.partition(":")
    if group is None and image_group:
        group = _number_or_name(image_group)
    return _number_or_name(name) if name else 0, group


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def check_non_root(pod: Object, container: Object, image_user: str) -> None:
    """Raises ConfigMissing when runAsNonRoot is asked for and not given."""
    if not _either(pod, container, "runAsNonRoot"):
        return
    about = pod["metadata"]
    where = (
        f'(pod: "{about["name"]}_{about["namespace"]}({about["uid"]})", '
        f"container: {container['name']})"
    )
    if (user := _either(pod, container, "runAsUser")) is not None:
        if user == 0:
            raise ConfigMissing(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image_user.partition(":")[0]
    if name and not name.isdigit():
        raise ConfigMissing(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )
    if not name or int(name) == 0:
        raise ConfigMissing(f"container has runAsNonRoot and image will run as root {where}")


def groups_of(pod: Object, gid: int, from_image: Sequence[int]) -> list[int]:
    """All groups of a process: its own, supplementalGroups, fsGroup and, unless the policy is
    Strict, those that the image's /etc/group gives its user."""
    context = pod_context(pod)
    groups = {gid, *(context.get("supplementalGroups") or ())}
    if context.get("fsGroup") is not None:
        groups.add(context["fsGroup"])
    if context.get("supplementalGroupsPolicy") != "Strict":
        groups |= set(from_image)
    return sorted(groups)
