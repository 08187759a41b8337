"""The namespaces that a PodSpec asks for, from kubectl to the kernel's own view."""

from __future__ import annotations

from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper


def a_pair(name: str, **spec: Any) -> dict[str, Any]:
    """A Pod of two sleeping containers, "main" and "side"."""
    pod = a_sleeper(name)
    pod["spec"]["containers"].append({**pod["spec"]["containers"][0], "name": "side"})
    pod["spec"] |= spec
    return pod


def test_containers_that_share_processes_see_and_signal_each_other(ns: Namespaced) -> None:
    ns.apply(a_pair("web", shareProcessNamespace=True))
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "cat /proc/1/comm", "-c", "side") == "podium-init"
    ns.sh("web", "echo hello > /tmp/note", "-c", "main")
    look = "for p in /proc/[0-9]*; do cat $p/root/tmp/note 2>/dev/null && break; done"
    assert ns.sh("web", look, "-c", "side") == "hello"
    ns.sh("web", "touch /tmp/mine; pgrep -x sleep | while read p; do "
          "[ -e /proc/$p/root/tmp/mine ] || kill -9 $(cut -d' ' -f4 /proc/$p/stat); done",
          "-c", "side")  # fmt: skip
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    by_name = {c["name"]: c for c in ns.get("pod", "web")["status"]["containerStatuses"]}
    assert by_name["main"]["lastState"]["terminated"]["exitCode"] == 137
    assert by_name["side"]["restartCount"] == 0
