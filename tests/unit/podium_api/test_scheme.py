"""The kinds and their names and paths."""

from __future__ import annotations

import subprocess
import sys

import pytest

from podium.api import scheme


@pytest.mark.parametrize(
    ("name", "key"),
    [("pods", "pods"), ("po", "pods"), ("Pod", "pods"), ("deploy", "deployments.apps"),
     ("deployments.apps", "deployments.apps"), ("deployment.apps", "deployments.apps"),
     ("Deployment", "deployments.apps"), ("lease", "leases.coordination.k8s.io")],
)  # fmt: skip
def test_a_resource_goes_by_many_names(name: str, key: str) -> None:
    assert scheme.resource(name).key == key


def test_an_unknown_name_is_told_as_kubectl_tells_it() -> None:
    with pytest.raises(LookupError, match='the server doesn\'t have a resource type "widget"'):
        scheme.resource("widget")
    with pytest.raises(LookupError):
        scheme.by_path("apps", "v1", "pods")
    with pytest.raises(LookupError):
        scheme.by_kind("v1", "Deployment")


def test_paths_are_kubernetes_own() -> None:
    deployments, nodes = scheme.resource("deploy"), scheme.resource("no")
    assert deployments.path() == "/apis/apps/v1/deployments"
    assert deployments.path("lab") == "/apis/apps/v1/namespaces/lab/deployments"
    assert deployments.path("lab", "web", "scale").endswith("/lab/deployments/web/scale")
    assert nodes.path(name="n1") == "/api/v1/nodes/n1"
    assert scheme.by_path("apps", "v1", "deployments") is deployments
    assert scheme.by_kind("v1", "Node") is nodes


def test_the_scheme_loads_nothing_that_the_command_would_wait_for() -> None:
    script = (
        "import sys; before = set(sys.modules); import podium.api.scheme; "
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert "podium.api.schema" not in loaded
    assert "orjson" not in loaded
    assert "msgspec" not in loaded
