"""Native sidecars: their order, what waits for them, and how they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper

Object = dict[str, Any]


def a_pod_of(mains: dict[str, str], inits: dict[str, Object], book: Path, **spec: Any) -> Object:
    """Containers run shell scripts, in which `say WORD` writes a line into `book`."""
    say = "say() { echo $1 >> /book/lines; }\n"
    mounts = [{"name": "book", "mountPath": "/book"}]

    def container(name: str, fields: Object) -> Object:
        script = {"command": ["sh", "-c", say + fields.pop("script")]}
        return {"name": name, "image": "host", "volumeMounts": mounts} | script | fields

    pod = a_sleeper()
    pod["spec"] |= {
        "containers": [container(name, {"script": text}) for name, text in mains.items()],
        "initContainers": [container(name, fields) for name, fields in inits.items()],
        "volumes": [{"name": "book", "hostPath": {"path": str(book)}}],
        "terminationGracePeriodSeconds": 20,
    }
    pod["spec"] |= spec
    return pod


def until_term(name: str) -> str:
    return f"say {name}-up; trap 'say {name}-down; exit 0' TERM; sleep infinity & wait"


def a_sidecar(name: str, **fields: Any) -> Object:
    return {"script": until_term(name), "restartPolicy": "Always"} | fields


def lines(book: Path) -> list[str]:
    path = book / "lines"
    return path.read_text().split() if path.exists() else []


def test_sidecars_start_in_their_place_and_end_after_the_others_in_reverse(
    ns: Namespaced, tmp_path: Path
) -> None:
    probe = {"exec": {"command": ["sh", "-c", "grep -q one-up /book/lines"]}, "periodSeconds": 1}
    inits = {
        "one": a_sidecar("one", startupProbe=probe),
        "init": {"script": "say init"},
        "two": a_sidecar("two"),
    }
    ns.apply(a_pod_of({"main": until_term("main")}, inits, tmp_path))
    ns.wait("pod/web", "condition=Ready")
    ns.cluster.until(lambda: len(lines(tmp_path)) == 4)
    assert lines(tmp_path)[:2] == ["one-up", "init"]
    assert ns.out("get", "pod", "web", "--no-headers").split()[1:3] == ["3/3", "Running"]
    ns.kubectl("delete", "pod", "web", "--timeout=40s")
    assert lines(tmp_path)[4:] == ["main-down", "two-down", "one-down"]


def test_a_pod_that_runs_to_its_end_is_complete_although_its_sidecar_would_go_on(
    ns: Namespaced, tmp_path: Path
) -> None:
    inits = {"side": a_sidecar("side")}
    ns.apply(a_pod_of({"main": "say main; exit 0"}, inits, tmp_path, restartPolicy="Never"))
    ns.wait("pod/web", "jsonpath={.status.phase}=Succeeded")
    assert lines(tmp_path)[-1] == "side-down"
    assert ns.out("get", "pod", "web", "--no-headers").split()[1:3] == ["0/2", "Completed"]
    (side,) = ns.get("pod", "web")["status"]["initContainerStatuses"]
    assert side["state"]["terminated"]["exitCode"] == 0


def test_a_sidecar_that_ends_is_restarted_even_if_nothing_else_would_be(
    ns: Namespaced, tmp_path: Path
) -> None:
    inits = {"side": a_sidecar("side")}
    ns.apply(a_pod_of({"main": until_term("main")}, inits, tmp_path, restartPolicy="Never"))
    ns.wait("pod/web", "condition=Ready")
    ns.kubectl("exec", "web", "-c", "side", "--", "kill", "1", check=False)  # it may be hit as well
    ns.wait("pod/web", "jsonpath={.status.initContainerStatuses[0].restartCount}=1")
    ns.wait("pod/web", "condition=Ready")
    assert lines(tmp_path).count("main-up") == 1


def test_a_sidecar_that_is_not_ready_keeps_its_pod_from_being_ready(
    ns: Namespaced, tmp_path: Path
) -> None:
    probe = {"exec": {"command": ["test", "-e", "/book/ready"]}, "periodSeconds": 1}
    inits = {"side": a_sidecar("side", readinessProbe=probe)}
    ns.apply(a_pod_of({"main": until_term("main")}, inits, tmp_path))
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].ready}=true")
    conditions = {c["type"]: c for c in ns.get("pod", "web")["status"]["conditions"]}
    assert conditions["Ready"]["message"] == "containers with unready status: [side]"
    (tmp_path / "ready").touch()
    ns.wait("pod/web", "condition=Ready")
