"""`podium inspect`: what is shown is what the kernel itself says, of a Pod that is there, one that
goes, and one that is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.namespaced import Namespaced, a_sleeper

LIMITS = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}


def inspect(ns: Namespaced, pod: str, *args: str) -> dict[str, Any]:
    return json.loads(
        ns.cluster.podium("inspect", f"pod/{pod}", "-n", ns.name, "-o", "json", *args).stdout
    )


def live(container: dict[str, Any], field: str) -> list[str]:
    return [row["live"] for row in container["rows"] if row["field"].endswith(field)]


def test_each_limit_stands_beside_the_file_that_the_kernel_enforces(ns: Namespaced) -> None:
    ns.apply(a_sleeper(resources=LIMITS))
    ns.wait("pod/web", "condition=Ready")
    (container,) = inspect(ns, "web")["containers"]
    memory = next(r for r in container["rows"] if r["field"].endswith("limits.memory"))
    assert memory["field"] == "spec.containers[main].resources.limits.memory"
    assert (memory["asked"], memory["live"]) == ("64Mi", str(64 << 20))
    assert Path(memory["file"]).read_text().strip() == memory["live"]
    assert memory["usage"]["usedBytes"] > 0
    assert live(container, "limits.cpu")[0].split()[0] == "50000"


def test_namespaces_are_the_kernels_with_who_shares_them(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["spec"]["containers"].append(pod["spec"]["containers"][0] | {"name": "side"})
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    main = inspect(ns, "web", "-c", "main")["containers"][0]
    found = {one["kind"]: one for one in main["namespaces"]}
    for kind, one in found.items():
        assert one["inode"] == os.stat(f"/proc/{main['pid']}/ns/{kind}").st_ino
    assert found["net"]["sharedWith"] == ["container side"]
    assert found["pid"]["sharedWith"] == []
    assert "host" in found["user"]["sharedWith"]


def test_processes_have_their_pids_outside_and_inside_and_their_privileges(ns: Namespaced) -> None:
    context = {
        "runAsUser": 1000, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    ns.apply(a_sleeper(securityContext=context))
    ns.wait("pod/web", "condition=Ready")
    (container,) = inspect(ns, "web")["containers"]
    first = container["processes"][0]
    assert (first["pids"], first["uid"]) == ([container["pid"], 1], 1000)
    assert container["identity"]["capabilities"]["bounding"] == []
    assert live(container, "allowPrivilegeEscalation") == ["NoNewPrivs 1"]
    assert live(container, "seccompProfile") == ["filter"]


def test_the_text_fits_into_a_hundred_columns(ns: Namespaced) -> None:
    ns.apply(a_sleeper(resources=LIMITS))
    ns.wait("pod/web", "condition=Ready")
    shown = ns.cluster.podium("inspect", "pod/web", "-n", ns.name).stdout
    assert 'resources.limits.memory "64Mi" → ' in shown
    assert [line for line in shown.splitlines() if len(line) > 100] == []


def test_a_pod_that_vanishes_while_it_is_watched_is_told_of(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    argv = ("podium", "inspect", "pod/web", "-n", ns.name, "--watch")
    ns.cluster.first_lines(argv, "namespaces")
    ns.kubectl("delete", "pod", "web")
    refused = ns.cluster.podium("inspect", "pod/web", "-n", ns.name, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == 'Error from server (NotFound): pods "web" not found\n'


@pytest.mark.parametrize(("command", "state"), [("exit 3", "exited"), (None, "waiting")])
def test_what_does_not_run_is_told_without_rows(
    ns: Namespaced, command: str | None, state: str
) -> None:
    image = {"image": "localhost/no-such:1", "imagePullPolicy": "Never"} if command is None else {}
    pod = a_sleeper(command=["sh", "-c", command or "true"], **image)
    pod["spec"]["restartPolicy"] = "Never"
    ns.apply(pod)
    ns.cluster.until(lambda: inspect_state(ns) == state)
    (container,) = inspect(ns, "web")["containers"]
    assert "rows" not in container
    assert container["message"]


def inspect_state(ns: Namespaced) -> str:
    told = ns.cluster.podium("inspect", "pod/web", "-n", ns.name, "-o", "json", check=False).stdout
    return json.loads(told)["containers"][0]["state"] if told else ""
