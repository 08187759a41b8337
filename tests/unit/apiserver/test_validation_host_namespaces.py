"""Namespaces of the host that exclude each other are refused in Kubernetes' words."""

from __future__ import annotations

from typing import Any

from apiserver.validation import validate_create
from podium.api.defaults import apply_defaults
from podium.api.scheme import resource
from tests.support.builders import a_pod

PODS = resource("pods")


def causes(**spec: Any) -> list[str]:
    pod = a_pod(**spec)
    apply_defaults(pod, PODS)
    return [str(cause) for cause in validate_create(PODS, pod)]


def test_a_shared_pid_namespace_cannot_be_the_hosts() -> None:
    assert causes(hostPID=True, shareProcessNamespace=True) == [
        "spec.securityContext.shareProcessNamespace: Invalid value: true: "
        "ShareProcessNamespace and HostPID cannot both be enabled"
    ]
    assert causes(hostPID=True, shareProcessNamespace=False) == []


def test_a_user_namespace_excludes_every_namespace_of_the_host() -> None:
    assert causes(hostUsers=False, hostNetwork=True, hostPID=True, hostIPC=True) == [
        f"spec.securityContext.{field}: Forbidden: when `pod.Spec.HostUsers` is false"
        for field in ("hostNetwork", "HostPID", "HostIPC")
    ]
    assert causes(hostUsers=True, hostNetwork=True, hostPID=True, hostIPC=True) == []
