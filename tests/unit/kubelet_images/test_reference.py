"""Names of images: kubelet/images/reference.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.images.errors import InvalidReference
from kubelet.images.reference import familiar, normalise, repository

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.0", "docker.io/library/busybox:1.0"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("team/app", "docker.io/team/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("registry.local:5000/a/b/c:v1.2_3", "registry.local:5000/a/b/c:v1.2_3"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1.0@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        ("a--b/c__d/e.f", "docker.io/a--b/c__d/e.f:latest"),
    ],
)
def test_a_name_is_completed_as_docker_does(said: str, meant: str) -> None:
    assert normalise(said) == meant
    assert normalise(familiar(meant)) == meant


@pytest.mark.parametrize(
    "said",
    ["", ":", "@", "a:", "a@", "/a", "a/", "a//b", "-a", "a..b", "a b", "a:b:c", "a@sha256:12",
     "a@md5:" + "a" * 32, "../a", "a/../b", "a:" + "t" * 129, "a/" * 200 + "b", "reg_istry.x/a",
     "a\nb", "a:1\n", "é"],
)  # fmt: skip
def test_what_is_no_name_is_refused_in_kubernetes_words(said: str) -> None:
    with pytest.raises(InvalidReference, match=r"(?s)couldn't parse .* invalid ref"):
        normalise(said)


def test_an_upper_case_repository_is_told_so() -> None:
    with pytest.raises(
        InvalidReference, match=r"repository name \(library/Web\) must be lowercase"
    ):
        normalise("Web:1")


@pytest.mark.parametrize("said", ["busybox", "host.x:5/a/b:1", f"a/b@{DIGEST}"])
def test_a_repository_is_a_name_without_tag_or_digest(said: str) -> None:
    assert repository(normalise(said)) == normalise(repository(normalise(said)))[: -len(":latest")]


@given(st.text(max_size=40))
def test_a_text_is_a_name_for_good_or_refused(said: str) -> None:
    try:
        full = normalise(said)
    except InvalidReference:
        return
    assert normalise(full) == full
    assert normalise(familiar(full)) == full
