"""Users, groups and capabilities."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import security
from kubelet.environment import ConfigMissing
from kubelet.runtime.capabilities import NAMES
from tests.unit.kubelet.containers import a_container, a_kubelet_pod


def with_context(**context: Any) -> dict[str, Any]:
    return a_container(securityContext=context)


def capabilities(**changes: list[str]) -> set[str]:
    return set(security.capabilities(with_context(capabilities=changes), NAMES))


def test_the_default_set_is_that_of_containerd() -> None:
    assert set(security.capabilities(a_container(), NAMES)) == security.DEFAULT_CAPABILITIES
    assert len(security.DEFAULT_CAPABILITIES) == 14


def test_capabilities_are_added_and_dropped_with_or_without_their_prefix() -> None:
    found = capabilities(add=["NET_ADMIN", "CAP_SYS_TIME"], drop=["CHOWN"])
    wanted = {"CAP_NET_ADMIN", "CAP_SYS_TIME"}
    assert found == security.DEFAULT_CAPABILITIES - {"CAP_CHOWN"} | wanted


def test_all_can_be_dropped_and_one_added() -> None:
    assert capabilities(drop=["ALL"], add=["NET_BIND_SERVICE"]) == {"CAP_NET_BIND_SERVICE"}
    assert capabilities(add=["ALL"], drop=["SYS_ADMIN"]) == set(NAMES) - {"CAP_SYS_ADMIN"}


def test_a_privileged_container_has_every_capability() -> None:
    assert security.capabilities(with_context(privileged=True), NAMES) == list(NAMES)


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(ConfigMissing, match="unknown capability 'FLY'"):
        capabilities(add=["FLY"])


def test_the_containers_user_comes_before_the_pods_and_the_images() -> None:
    pod = a_kubelet_pod(securityContext={"runAsUser": 7, "runAsGroup": 8})
    assert security.user_of(pod, with_context(runAsUser=9), "1000") == (9, 8)
    assert security.user_of(pod, a_container(), "1000") == (7, 8)
    assert security.user_of(a_kubelet_pod(), a_container(), "web:users") == ("web", "users")
    assert security.user_of(a_kubelet_pod(), a_container(), "") == (0, None)


@pytest.mark.parametrize(
    ("context", "image_user", "message"),
    [
        ({"runAsUser": 0}, "", "runAsUser breaks non-root policy"),
        ({}, "", "image will run as root"),
        ({}, "0", "image will run as root"),
        ({}, "web", r"image has non-numeric user \(web\)"),
    ],
)
def test_run_as_non_root_is_not_only_a_wish(
    context: dict[str, Any], image_user: str, message: str
) -> None:
    with pytest.raises(ConfigMissing, match=message):
        security.check_non_root(
            a_kubelet_pod(), with_context(runAsNonRoot=True, **context), image_user
        )


def test_run_as_non_root_is_content_with_a_number() -> None:
    security.check_non_root(a_kubelet_pod(), with_context(runAsNonRoot=True), "1000")
    security.check_non_root(a_kubelet_pod(), with_context(runAsNonRoot=True, runAsUser=5), "")


def test_fs_group_is_a_supplementary_group() -> None:
    context = {"fsGroup": 2000, "supplementalGroups": [5]}
    pod = a_kubelet_pod(securityContext=context)
    assert security.groups_of(pod, 100, [7]) == [5, 7, 100, 2000]


def test_the_strict_policy_leaves_the_images_groups_out() -> None:
    context = {"supplementalGroups": [5], "supplementalGroupsPolicy": "Strict"}
    assert security.groups_of(a_kubelet_pod(securityContext=context), 100, [7]) == [5, 100]


def test_capabilities_may_be_named_in_any_case() -> None:
    found = capabilities(add=["net_admin"], drop=["cap_chown"])
    assert "CAP_NET_ADMIN" in found
    assert "CAP_CHOWN" not in found
