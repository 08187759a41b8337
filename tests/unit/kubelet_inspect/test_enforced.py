"""The table of spec field → cgroup file, held against docs/spec-to-kernel.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubelet.inspect.enforced import CGROUP_FIELDS, Enforced, asked_of_container, asked_of_pod
from kubelet.inspect.identity_rows import SECURITY_FIELDS
from tests.support.builders import a_pod

PAGE = Path(__file__).parents[3] / "docs" / "spec-to-kernel.md"


def cells(section: str, row: str) -> list[str]:
    """The cells behind the row's name, those of every row that begins so put together."""
    after = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in after.splitlines()]
    found = [cells for cells in rows if cells[0].strip().startswith(f"`{row}")]
    assert found, f"{section} has no row {row}"
    return [" ".join(column) for column in zip(*(cells[1:] for cells in found), strict=True)]


def is_named(file: str, text: str) -> bool:
    """Braces as in `blkio.throttle.{read,write}_bps_device`."""
    for word in re.findall(r"`([^`]+)`", text):
        escaped = re.escape(word).replace("<size>", "[12][MG]B")
        pattern = re.sub(r"\\{([^}]*)\\}", lambda m: f"({m[1].replace(',', '|')})", escaped)
        if re.fullmatch(pattern, file):
            return True
    return False


@pytest.mark.parametrize("field", CGROUP_FIELDS, ids=lambda one: f"{one.row}{one.key}-{one.v1[0]}")
def test_the_files_that_are_read_are_those_that_the_page_names(field: Enforced) -> None:
    v1, v2 = cells(field.section, field.row)
    assert [file for file in field.v1 if not is_named(file, v1)] == []
    assert [file for file in field.v2 if not is_named(file, v2)] == []


@pytest.mark.parametrize(("field", "call"), [(name, call) for name, call, _ in SECURITY_FIELDS])
def test_the_calls_that_are_named_are_those_of_the_page(field: str, call: str) -> None:
    assert call in cells("SecurityContext", field)[0]


def row(name: str, key: str) -> Enforced:
    return next(one for one in CGROUP_FIELDS if (one.row, one.key) == (name, key))


def test_a_containers_limit_is_asked_where_it_stands_in_the_spec() -> None:
    pod = a_pod("web")
    container = pod["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "500m"}}
    path = f"spec.containers[{container['name']}].resources.limits.cpu"
    assert asked_of_container(pod, container, row("limits", "cpu")) == (path, "500m")
    assert asked_of_container(pod, container, row("limits", "memory"))[1] == ""


def test_a_pods_limit_is_the_sum_and_is_none_if_one_container_has_none() -> None:
    pod = a_pod("web")
    first = pod["spec"]["containers"][0]
    first["resources"] = {"limits": {"cpu": "500m"}}
    assert asked_of_pod(pod, row("limits", "cpu"))[1] == "500m"
    pod["spec"]["containers"].append({"name": "other", "image": "host"})
    assert asked_of_pod(pod, row("limits", "cpu"))[1] == ""
