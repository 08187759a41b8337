"""Which size the pages of an emptyDir are."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.huge_pages import PageSizeUnknown, mount_options
from tests.unit.kubelet.containers import a_container, a_kubelet_pod


def asking(*sizes: str) -> dict[str, Any]:
    requests = {f"hugepages-{size}": size for size in sizes}
    return a_kubelet_pod(a_container(resources={"requests": requests}))


@pytest.mark.parametrize(
    ("medium", "sizes", "options"),
    [
        ("HugePages", ["2Mi"], "pagesize=2048K"),
        ("HugePages-2Mi", ["2Mi", "1Gi"], "pagesize=2048K"),
        ("HugePages-1Gi", ["2Mi", "1Gi"], "pagesize=1048576K"),
    ],
)
def test_the_medium_or_the_only_request_says_which_size(
    medium: str, sizes: list[str], options: str
) -> None:
    assert mount_options(asking(*sizes), medium) == options


@pytest.mark.parametrize(
    ("medium", "sizes", "why"),
    [
        ("HugePages", [], "needs one size of huge pages, found none"),
        ("HugePages", ["2Mi", "1Gi"], "found hugepages-1Gi, hugepages-2Mi"),
        ("HugePages-1Gi", ["2Mi"], "no container requests hugepages-1Gi"),
    ],
)
def test_an_unclear_size_is_told(medium: str, sizes: list[str], why: str) -> None:
    with pytest.raises(PageSizeUnknown, match=why):
        mount_options(asking(*sizes), medium)
