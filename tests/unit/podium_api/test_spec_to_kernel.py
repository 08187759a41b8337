"""docs/spec-to-kernel.md: no field of a Pod's spec is missing, and none is made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podium.api import schema

PAGE = Path(__file__).parents[3] / "docs" / "spec-to-kernel.md"
STRUCTS = (
    "PodSpec", "Container", "PodSecurityContext", "SecurityContext", "ResourceRequirements",
    "VolumeSource", "VolumeMount", "VolumeDevice", "ContainerPort", "Lifecycle", "Probe",
    "ProbeHandler", "ContainerResizePolicy",
)  # fmt: skip


def rows_of(section: str) -> dict[str, str]:
    """The table below "## <section>": field → what it becomes."""
    _, _, after = PAGE.read_text().partition(f"\n## {section}\n")
    table = after.partition("\n## ")[0]
    found = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_of_the_schema_has_a_row(name: str) -> None:
    fields = set(schema.structure(name).fields)
    if name == "Probe":
        fields -= set(schema.structure("ProbeHandler").fields)
    assert set(rows_of(name)) == fields


def test_no_row_is_empty() -> None:
    assert all(text.strip(" |") for name in STRUCTS for text in rows_of(name).values())
