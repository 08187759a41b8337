"""Every manifest in manifests/ runs as its comments promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.cluster import Cluster

LESSONS = sorted(Path(__file__).parents[2].glob("manifests/*.yaml"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_lesson_runs(cluster: Cluster, path: Path) -> None:
    documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
    cluster.podium("apply", "-f", str(path))
    for doc in documents:
        name, space = doc["metadata"]["name"], doc["metadata"].get("namespace", "default")
        if doc["kind"] == "Deployment":
            cluster.kubectl("-n", space, "rollout", "status", f"deploy/{name}", "--timeout=60s")
        elif doc["kind"] == "Pod":
            cluster.until(lambda: _ended_or_ready(cluster, space, name), timeout_s=60)  # noqa: B023
    cluster.podium("delete", "-f", str(path))


def _ended_or_ready(cluster: Cluster, space: str, name: str) -> bool:
    shown = cluster.kubectl("-n", space, "get", "pod", name, "-o", "yaml").stdout
    status = yaml.safe_load(shown)["status"]
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])
    )
    return ready or status.get("phase") == "Succeeded"


def test_there_are_lessons() -> None:
    assert len(LESSONS) >= 3
