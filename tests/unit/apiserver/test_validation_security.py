"""Security contexts: what Kubernetes refuses, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.apiserver.test_validation_pods import causes

Object = dict[str, Any]
POD, CONTAINER = "spec.securityContext", "spec.containers[0].securityContext"


def of_container(**context: Any) -> list[str]:
    return causes({"securityContext": context})


def of_pod(**context: Any) -> list[str]:
    return causes(securityContext=context)


def test_what_kubernetes_knows_is_accepted() -> None:
    assert of_container(
        runAsUser=1000, runAsGroup=0, procMount="Default", privileged=True,
        seccompProfile={"type": "Localhost", "localhostProfile": "a/b.json"},
        appArmorProfile={"type": "Localhost", "localhostProfile": "tight"},
        capabilities={"add": ["ALL"], "drop": ["NET_RAW"]}, readOnlyRootFilesystem=True,
    ) == []  # fmt: skip
    assert of_pod(
        supplementalGroups=[1, 2], supplementalGroupsPolicy="Strict", fsGroup=5,
        fsGroupChangePolicy="OnRootMismatch", sysctls=[{"name": "net/core/somaxconn"}],
        seLinuxOptions={"level": "s0"}, seccompProfile={"type": "RuntimeDefault"},
    ) == []  # fmt: skip


def test_ids_have_a_range() -> None:
    why = "Invalid value: -1: must be between 0 and 2147483647, inclusive"
    assert of_container(runAsUser=-1) == [f"{CONTAINER}.runAsUser: {why}"]
    assert of_pod(supplementalGroups=[0, -1]) == [f"{POD}.supplementalGroups[1]: {why}"]


def localhost(name: str) -> Object:
    return {"type": "Localhost", "localhostProfile": name}


@pytest.mark.parametrize(
    ("profile", "field", "cause"),
    [
        ({"type": "Localhost"}, "localhostProfile",
         "Required value: must be set when seccomp type is Localhost"),
        (localhost("/a"), "localhostProfile", 'Invalid value: "/a": must be a relative path'),
        (localhost("a/../b"), "localhostProfile",
         "Invalid value: \"a/../b\": must not contain '..'"),
        ({"type": "Unconfined", "localhostProfile": "a"}, "localhostProfile",
         'Invalid value: "a": can only be set when seccomp type is Localhost'),
        ({"type": "Tight"}, "type",
         'Unsupported value: "Tight": supported values: "Localhost", "RuntimeDefault", '
         '"Unconfined"'),
        ({"type": ""}, "type", "Required value: type is required when seccompProfile is set"),
    ],
)  # fmt: skip
def test_a_seccomp_profile_is_whole(profile: Object, field: str, cause: str) -> None:
    for found, at in ((of_container, CONTAINER), (of_pod, POD)):
        assert found(seccompProfile=profile) == [f"{at}.seccompProfile.{field}: {cause}"]


@pytest.mark.parametrize(
    ("profile", "field", "cause"),
    [
        ({"type": "Localhost"}, "localhostProfile",
         "Required value: must be set when AppArmor type is Localhost"),
        (localhost(" a"), "localhostProfile",
         'Invalid value: " a": must not be padded with whitespace'),
        ({"type": "Unconfined", "localhostProfile": "a"}, "localhostProfile",
         'Invalid value: "a": can only be set when AppArmor type is Localhost'),
        ({}, "type", "Required value: type is required when appArmorProfile is set"),
    ],
)  # fmt: skip
def test_an_apparmor_profile_is_whole(profile: Object, field: str, cause: str) -> None:
    found = of_container(appArmorProfile=profile)
    assert found == [f"{CONTAINER}.appArmorProfile.{field}: {cause}"]


def test_apparmors_annotation_names_a_container_and_agrees_with_the_field() -> None:
    key = "container.apparmor.security.beta.kubernetes.io"
    at = f"metadata.annotations[{key}"
    meta = {"annotations": {f"{key}/other": "unconfined", f"{key}/main": "tight"}}
    assert causes(meta=meta) == [
        f'{at}/other]: Invalid value: "other": container not found',
        f'{at}/main]: Invalid value: "tight": invalid AppArmor profile name: "tight"',
    ]
    meta = {"annotations": {f"{key}/main": "localhost/a"}}
    field = {"type": "Localhost", "localhostProfile": "b"}
    assert causes({"securityContext": {"appArmorProfile": field}}, meta=meta) == [
        f"{CONTAINER}.appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation "
        "and field must match"
    ]


def test_escalation_cannot_be_forbidden_to_the_almighty() -> None:
    about = f'{CONTAINER}: Invalid value: "": cannot set `allowPrivilegeEscalation` to false and'
    assert of_container(allowPrivilegeEscalation=False, privileged=True) == [
        f"{about} `privileged` to true"
    ]
    added = {"add": ["CAP_SYS_ADMIN"]}
    assert of_container(allowPrivilegeEscalation=False, capabilities=added) == [
        f"{about} `capabilities.Add` CAP_SYS_ADMIN"
    ]


def test_an_unmasked_proc_needs_a_user_namespace() -> None:
    unmasked = {"securityContext": {"procMount": "Unmasked"}}
    assert causes(unmasked) == [
        f'{CONTAINER}.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use '
        "`Unmasked`"
    ]
    assert causes(unmasked, hostUsers=False) == []
    assert of_container(procMount="Bare") == [
        f'{CONTAINER}.procMount: Unsupported value: "Bare": supported values: "Default", "Unmasked"'
    ]


def test_sysctls_have_names_once_and_no_host_namespace() -> None:
    found = of_pod(sysctls=[{"name": ""}, {"name": "Net.x"}, {"name": "a.b"}, {"name": "a.b"}])
    assert [cause.partition(" value")[0] for cause in found] == [
        f"{POD}.sysctls[0].name: Required",
        f"{POD}.sysctls[1].name: Invalid",
        f"{POD}.sysctls[3].name: Duplicate",
    ]
    context = {"sysctls": [{"name": "net.core.somaxconn"}, {"name": "kernel.sem"}]}
    assert causes(securityContext=context, hostNetwork=True, hostIPC=True) == [
        f'{POD}.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when '
        "'hostNetwork' is true",
        f'{POD}.sysctls[1].name: Invalid value: "kernel.sem": may not be specified when '
        "'hostIPC' is true",
    ]


def test_a_linux_pod_has_no_windows_options_and_the_other_way_round() -> None:
    options = {"windowsOptions": {"runAsUserName": "me"}}
    why = "Forbidden: windows options cannot be set for a linux pod"
    found = causes({"securityContext": options}, os={"name": "linux"}, securityContext=options)
    assert found == [f"{POD}.windowsOptions: {why}", f"{CONTAINER}.windowsOptions: {why}"]
    found = causes({"securityContext": {"runAsUser": 1}}, os={"name": "windows"}, hostPID=True)
    why = "Forbidden: cannot be set for a windows pod"
    assert found == [f"spec.hostPID: {why}", f"{CONTAINER}.runAsUser: {why}"]
    assert causes(os={"name": "plan9"})[0].startswith('spec.os: Unsupported value: "plan9"')


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", " cannot be an empty string"),
        ("a\\b\\c", " cannot contain more than one backslash"),
        ("..", "'s User cannot contain only periods or spaces"),
        ("a domain of many words\\me", "'s Domain doesn't match the NetBios nor the DNS format"),
        ("me?", "'s User cannot contain the following characters"),
    ],
)
def test_a_windows_user_has_a_form(name: str, why: str) -> None:
    (found,) = of_pod(windowsOptions={"runAsUserName": name})
    assert f"runAsUserName{why}" in found
