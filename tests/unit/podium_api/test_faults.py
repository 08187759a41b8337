"""The kinds of faults: the schema and the page have the list of them as well."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest

from podium.api.defaults import apply_defaults
from podium.api.faults import FAULTS, TARGETS
from podium.api.schema import structure
from podium.api.scheme import resource


def test_the_schema_and_the_page_know_every_type() -> None:
    assert structure("FaultSpec").fields["type"].enum == tuple(TARGETS)
    makers = resources.files("apiserver.ui").joinpath("static/objects/makers.js").read_text()
    listed = makers.partition("const FAULTS = {")[2].partition("};")[0]
    assert re.findall(r"^  (\w+): \[", listed, re.MULTILINE) == list(TARGETS)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, "1Mi"), ({"operationsPerSecond": 9}, None), ({"bytesPerSecond": "2Mi"}, "2Mi")],
)
def test_a_slow_disk_has_a_rate(spec: dict[str, Any], expected: str | None) -> None:
    fault = {"metadata": {}, "spec": {"type": "SlowDisk", "target": "node-1", **spec}}
    apply_defaults(fault, resource(FAULTS))
    assert fault["spec"].get("bytesPerSecond") == expected
