"""securityContext from `kubectl apply` to the kernel's view of the process."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper


def a_secured(name: str = "web", pod: dict[str, Any] | None = None, **context: Any) -> Any:
    """A sleeper with a securityContext of its container, and one of the Pod."""
    made = a_sleeper(name, securityContext=context)
    if pod:
        made["spec"]["securityContext"] = pod
    return made


def status_of(ns: Namespaced, pod: str) -> dict[str, str]:
    """/proc/1/status."""
    return dict(re.findall(r"(\w+):\s+(.*)", ns.sh(pod, "cat /proc/1/status")))


def test_runtime_default_filters_and_saying_nothing_does_not(ns: Namespaced) -> None:
    default = {"seccompProfile": {"type": "RuntimeDefault"}}
    ns.apply(
        a_sleeper("free"),
        a_secured("bound", pod=default),
        a_secured("unbound", pod=default, seccompProfile={"type": "Unconfined"}),
    )
    for name, mode in (("free", "0"), ("bound", "2"), ("unbound", "0")):
        ns.wait(f"pod/{name}", "condition=Ready")
        assert status_of(ns, name)["Seccomp"] == mode, name
    assert ns.sh("bound", "unshare -U true 2>&1 || echo refused").endswith("refused")


def test_a_profile_of_the_node_is_applied_and_a_missing_one_is_told(ns: Namespaced) -> None:
    node = next((ns.cluster.data_dir / "nodes").iterdir())
    (node / "seccomp/profiles").mkdir(parents=True, exist_ok=True)
    no_mkdir = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [no_mkdir]})
    (node / "seccomp/profiles/no-mkdir.json").write_text(text)

    def profile(name: str) -> dict[str, str]:
        return {"type": "Localhost", "localhostProfile": name}

    ns.apply(
        a_secured("bound", seccompProfile=profile("profiles/no-mkdir.json")),
        a_secured("missing", seccompProfile=profile("profiles/none.json")),
    )
    ns.wait("pod/bound", "condition=Ready")
    assert "not permitted" in ns.sh("bound", "mkdir /tmp/x 2>&1 || true")
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    ns.wait("pod/missing", f"{reason}=CreateContainerError")
    state = ns.get("pod", "missing")["status"]["containerStatuses"][0]["state"]
    assert "cannot load seccomp profile" in state["waiting"]["message"]
