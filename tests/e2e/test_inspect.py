"""`podium inspect`: what is shown is what the kernel itself says, of a Pod that is there, one that
goes, and one that is not."""

from __future__ import annotations

import json
import os
import re
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


def a_pod_with_much() -> dict[str, Any]:
    """Of what the page names a kernel object for, all that works on every machine."""
    context = {
        "runAsUser": 1000, "runAsGroup": 1000, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    pod = a_sleeper(
        resources=LIMITS, securityContext=context, workingDir="/tmp",
        env=[{"name": "A", "value": "b"}], stdin=True,
        ports=[{"containerPort": 80, "hostPort": 20481}],
        volumeMounts=[{"name": "memory", "mountPath": "/memory"}],
    )  # fmt: skip
    pod["metadata"]["annotations"] = {
        "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M",
        "pids.podium.dev/main": "50",
    }  # fmt: skip
    medium = {"medium": "Memory", "sizeLimit": "8Mi"}
    pod["spec"] |= {
        "volumes": [{"name": "memory", "emptyDir": medium}], "hostname": "house",
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["far"]}],
        "securityContext": {
            "sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": "33"}],
            "supplementalGroups": [4000],
        },
    }  # fmt: skip
    return pod


def test_what_is_in_no_cgroup_has_rows_as_well(ns: Namespaced) -> None:
    ns.apply(a_pod_with_much())
    ns.wait("pod/web", "condition=Ready")
    found = inspect(ns, "web")
    (container,) = found["containers"]
    rows = {row["field"]: row["live"] for row in [*found["pod"]["rows"], *container["rows"]]}
    assert rows["metadata.annotations[kubernetes.io/ingress-bandwidth]"] == "10000000 bit/s"
    assert rows["metadata.annotations[kubernetes.io/egress-bandwidth]"] == "20000000 bit/s"
    assert rows["spec.securityContext.sysctls[net.ipv4.tcp_fin_timeout]"] == "33"
    assert rows["spec.hostname"] == "house"
    assert rows["spec.hostAliases"] == "10.1.2.3 far"
    assert "nameserver" in rows["spec.dnsPolicy"]
    assert rows["spec.volumes[memory].emptyDir"] == "tmpfs size=8192k"
    assert rows["spec.hostNetwork"].endswith("not the host's")
    assert rows["spec.hostUsers"].endswith(", the host's")
    address = ns.get("pod", "web")["status"]["podIP"]
    assert rows["spec.containers[*].ports[80].hostPort"] == f"dnat to {address}:80"
    shown = {word for field in rows for word in re.sub(r"\[[^]]*\]", "", field).split(".")}
    assert kernel_fields() - shown - {"appArmorProfile"} == WITHOUT_ROWS  # not on every kernel


# Those that Kubernetes keeps at a moment only, those that are seen in another's row, and those that
# have one in a Pod that asks for them.
WITHOUT_ROWS = {
    "terminationGracePeriodSeconds",
    "args", "envFrom", "subdomain", "setHostnameAsFQDN", "fsGroup", "supplementalGroupsPolicy",
    "shareProcessNamespace", "dnsConfig", "volumeDevices",
}  # fmt: skip


def kernel_fields() -> set[str]:
    """The fields behind which docs/spec-to-kernel.md names a call or a file."""
    text = Path("docs/spec-to-kernel.md").read_text()
    sections = ("PodSpec", "Container", "PodSecurityContext", "SecurityContext")
    lines = [
        line for section in sections
        for line in text.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    ]  # fmt: skip
    rows = [re.match(r"\| `([^`]+)` \|.*(\(2\)|/proc/|/etc/)", line) for line in lines]
    return {row[1] for row in rows if row}


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
