"""Room podium/testing: what is shown of a cluster when a test has failed.

The causal trace of what the test applied, what has changed since it began, what Events say, and
what components have complained of. A report must never fail itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from podium.cli import processes
from podium.testing.cluster import PodiumCluster

MOST_LINES = 60
MOST_TRACES = 3


def sections(cluster: PodiumCluster) -> Iterator[tuple[str, str]]:
    """(title, text) of each that has something to say."""
    for title, find in (
        ("trace", _traces), ("changes", _changes), ("events", _events), ("logs", _logs),
    ):  # fmt: skip
        text = _text_of(find, cluster)
        if text:
            yield f"podium {title}", text


def _text_of(find: Callable[[PodiumCluster], list[str]], cluster: PodiumCluster) -> str:
    try:
        lines = find(cluster)
    except Exception as error:  # noqa: BLE001 - the test's own failure must be told
        return f"(not known: {type(error).__name__}: {error})"
    left_out = len(lines) - MOST_LINES
    head = [f"({left_out} earlier lines are left out)"] if left_out > 0 else []
    return "\n".join([*head, *lines[-MOST_LINES:]])


def _traces(cluster: PodiumCluster) -> list[str]:
    lines: list[str] = []
    for target in cluster.applied[:MOST_TRACES]:
        done = cluster.podium("trace", str(target), check=False, timeout_s=20)
        lines += (done.stdout or done.stderr).splitlines()
    return lines


def _changes(cluster: PodiumCluster) -> list[str]:
    answer = cluster.client.raw(
        "GET", "/podium/v1/timeline",
        query={"from": cluster.marked_at, "namespace": cluster.namespace, "size": MOST_LINES * 2},
    ).json()  # fmt: skip
    return [
        f"{item['time'][11:23]} {item['type']:<8} {item['kind']}/{item['name']}"
        for item in answer["items"]
    ]


def _events(cluster: PodiumCluster) -> list[str]:
    return cluster.events()


def _logs(cluster: PodiumCluster) -> list[str]:
    found = []
    for component in processes.read_components(cluster.data_dir):
        if not component.pid:
            found.append(f"{component.name} does not run ({component.restarts} restarts)")
        for line in cluster.log(component.name).splitlines():
            if " WARNING " in line or " ERROR " in line or "Traceback" in line:
                found.append(f"{component.name}: {line}")
    return found
