"""Security that a node cannot give: the Pod fails with Kubernetes' reason and words."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import sysctls
from kubelet.admission import Rejection
from kubelet.apparmor import AppArmor
from kubelet.configuration import KubeletConfiguration
from kubelet.security_admission import Modules, rejection, unenforceable
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]


def modules(*, has_apparmor: bool) -> Modules:
    apparmor = AppArmor("podium-test")
    apparmor.is_enabled = has_apparmor
    return Modules(apparmor, selinux=False)


NONE = modules(has_apparmor=False)
NO_APPARMOR = "Cannot enforce AppArmor: AppArmor is not enabled on the host"


def setting(name: str, value: str = "1", **spec: Any) -> Object:
    context = {"sysctls": [{"name": name, "value": value}]}
    return a_kubelet_pod(securityContext=context, **spec)


def reject(pod: Object, **settings: Any) -> Rejection | None:
    return rejection(pod, KubeletConfiguration(**settings), NONE)


@pytest.mark.parametrize("name", ["net.ipv4.tcp_syncookies", "net/ipv4/ping_group_range"])
def test_safe_sysctls_are_set(name: str) -> None:
    assert reject(setting(name)) is None


@pytest.mark.parametrize(
    "name",
    ["kernel.msgmax", "kernel.panic", "vm.swappiness", "net.core.somaxconn", "net.//.kernel.panic"],
)
def test_other_sysctls_are_forbidden(name: str) -> None:
    found = reject(setting(name))
    assert found is not None
    assert found.reason == "SysctlForbidden"
    assert found.message == f'forbidden sysctl: "{name}" not allowlisted'


def test_the_node_may_allow_unsafe_ones() -> None:
    unsafe = {"allowed_unsafe_sysctls": ("kernel.msg*", "net.core.somaxconn")}
    assert reject(setting("kernel.msgmax"), **unsafe) is None
    assert reject(setting("net.core.somaxconn"), **unsafe) is None
    assert reject(setting("net.core.rmem_max"), **unsafe) is not None


def test_no_sysctl_of_a_namespace_that_is_the_hosts() -> None:
    found = reject(setting("net.ipv4.tcp_syncookies", hostNetwork=True))
    assert found is not None
    assert '"net.ipv4.tcp_syncookies" not allowed with host net enabled' in found.message
    assert reject(setting("kernel.shm_rmid_forced", hostIPC=True)) is not None
    assert reject(setting("kernel.shm_rmid_forced", hostNetwork=True)) is None


def test_names_with_slashes_keep_the_dots_of_an_interface() -> None:
    assert sysctls.with_dots("net/ipv4/conf/eth0.1/mtu") == "net.ipv4.conf.eth0/1.mtu"
    assert sysctls.with_dots("net.ipv4.conf.eth0/1.mtu") == "net.ipv4.conf.eth0/1.mtu"


@pytest.mark.parametrize("pattern", ["vm.*", "kernel.panic", "net.*.core", "*"])
def test_a_node_cannot_allow_what_the_kernel_does_not_keep_apart(pattern: str) -> None:
    assert sysctls.pattern_problem(pattern)
    assert not sysctls.pattern_problem("net.*")
    assert not sysctls.pattern_problem("kernel.sem")


@pytest.mark.parametrize(
    ("profile", "is_refused"),
    [
        ({"type": "RuntimeDefault"}, True),
        ({"type": "Localhost", "localhostProfile": "tight"}, True),
        ({"type": "Unconfined"}, False),
    ],
)
def test_apparmor_is_refused_where_the_kernel_has_none(profile: Object, is_refused: bool) -> None:
    context = {"appArmorProfile": profile}
    of_pod = a_kubelet_pod(securityContext=context)
    of_container = a_kubelet_pod(a_container(securityContext=context))
    for pod in (of_pod, of_container):
        found = reject(pod)
        assert (found is not None) is is_refused
        assert found is None or (found.reason, found.message) == ("AppArmor", NO_APPARMOR)


def test_an_apparmor_profile_must_be_loaded_where_there_is_apparmor() -> None:
    there = modules(has_apparmor=True)
    container = a_container(
        securityContext={"appArmorProfile": {"type": "Localhost", "localhostProfile": "no-such"}}
    )
    found = unenforceable(a_kubelet_pod(), container, there)
    assert found is not None
    assert found.problem == 'Cannot enforce AppArmor: profile "no-such" is not loaded'
    default = a_container(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
    found = unenforceable(a_kubelet_pod(), default, there)
    assert found is not None
    assert found.problem.endswith("the node could not load its default profile")


@pytest.mark.parametrize(
    ("profile", "is_privileged", "name"),
    [
        ("localhost/tight", False, "tight"),
        ("localhost/tight", True, "tight"),
        ("unconfined", False, ""),
        (None, False, ""),
        (None, True, ""),
    ],
)
def test_the_name_that_the_kernel_is_given(
    profile: str | None, is_privileged: bool, name: str
) -> None:
    """Without a loaded default; with one: tests/e2e/test_security.py, where there is AppArmor."""
    assert NONE.apparmor.name_for(profile, is_privileged=is_privileged) == name


def test_the_annotation_from_before_the_field_counts_as_well() -> None:
    pod = a_kubelet_pod()
    key = "container.apparmor.security.beta.kubernetes.io/main"
    pod["metadata"]["annotations"] = {key: "localhost/tight"}
    assert reject(pod) is not None
    pod["metadata"]["annotations"] = {key: "unconfined"}
    assert reject(pod) is None


def test_an_ephemeral_container_is_asked_of_on_its_own() -> None:
    debugger = a_container("debugger", securityContext={"appArmorProfile": {"type": "Localhost"}})
    assert unenforceable(a_kubelet_pod(), debugger, NONE)
    assert not unenforceable(a_kubelet_pod(), a_container("debugger"), NONE)


def test_selinux_labels_are_refused_where_the_kernel_has_none() -> None:
    found = reject(a_kubelet_pod(securityContext={"seLinuxOptions": {"level": "s0:c1,c2"}}))
    assert found is not None
    assert found.message.endswith("Cannot enforce SELinux: SELinux is not enabled on the host")
    assert reject(a_kubelet_pod(securityContext={"seLinuxOptions": {}})) is None
