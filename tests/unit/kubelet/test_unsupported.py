"""What this version does not run is said, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import unsupported
from tests.unit.kubelet.containers import a_kubelet_pod


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims"),
    ],
)
def test_a_pod_that_would_be_another_than_it_says_is_refused(
    spec: dict[str, Any], field: str
) -> None:
    (refusal,) = unsupported.refusals(a_kubelet_pod(**spec))
    assert refusal.startswith(f"{field}:")


def test_fields_for_the_scheduler_are_not_the_kubelets() -> None:
    pod = a_kubelet_pod(affinity={}, tolerations=[{}], priorityClassName="high")
    assert unsupported.refusals(pod) == unsupported.warnings(pod) == []
