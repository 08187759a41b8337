"""securityContext from `kubectl apply` to the kernel's view of the process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.namespaced import Namespaced, a_sleeper

APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
HAS_APPARMOR = APPARMOR.exists() and APPARMOR.read_text().startswith("Y")


def a_secured(name: str = "web", pod: dict[str, Any] | None = None, **context: Any) -> Any:
    """A sleeper with a securityContext of its container, and one of the Pod."""
    made = a_sleeper(name, securityContext=context)
    if pod:
        made["spec"]["securityContext"] = pod
    return made


def status_of(ns: Namespaced, pod: str) -> dict[str, str]:
    """/proc/1/status."""
    return dict(re.findall(r"(\w+):\s+(.*)", ns.sh(pod, "cat /proc/1/status")))


def test_a_container_is_filtered_unless_it_says_unconfined(ns: Namespaced) -> None:
    default = {"seccompProfile": {"type": "RuntimeDefault"}}
    ns.apply(
        a_sleeper("unsaid"),
        a_secured("bound", pod=default),
        a_secured("unbound", pod=default, seccompProfile={"type": "Unconfined"}),
    )
    for name, mode in (("unsaid", "2"), ("bound", "2"), ("unbound", "0")):
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


def test_the_status_tells_the_user_that_the_kernel_sees(ns: Namespaced) -> None:
    pod = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000], "fsGroup": 5000}
    ns.apply(a_secured(pod=pod | {"supplementalGroupsPolicy": "Strict"}))
    ns.wait("pod/web", "condition=Ready")
    seen = status_of(ns, "web")
    assert (seen["Uid"].split()[0], seen["Gid"].split()[0]) == ("1000", "3000")
    assert seen["Groups"].split() == ["3000", "4000", "5000"]
    shown = ns.get("pod", "web")["status"]["containerStatuses"][0]["user"]["linux"]
    assert shown == {"uid": 1000, "gid": 3000, "supplementalGroups": [3000, 4000, 5000]}


def test_sysctls_reach_the_pod_or_fail_it(ns: Namespaced) -> None:
    def setting(name: str, value: str) -> dict[str, Any]:
        return {"sysctls": [{"name": name, "value": value}]}

    ns.apply(
        a_secured("safe", pod=setting("net.ipv4.ip_local_port_range", "2000 3000")),
        a_secured("unsafe", pod=setting("kernel.msgmax", "65536")),
    )
    ns.wait("pod/safe", "condition=Ready")
    assert ns.sh("safe", "cat /proc/sys/net/ipv4/ip_local_port_range").split() == ["2000", "3000"]
    ns.wait("pod/unsafe", "jsonpath={.status.reason}=SysctlForbidden")
    status = ns.get("pod", "unsafe")["status"]
    assert status["phase"] == "Failed"
    assert (
        status["message"] == 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'
    )


@pytest.mark.skipif(HAS_APPARMOR, reason="this kernel has AppArmor")
def test_apparmor_is_refused_in_the_kubelets_words(ns: Namespaced) -> None:
    ns.apply(a_secured("plain", appArmorProfile={"type": "Unconfined"}))
    ns.apply(a_secured("armed", appArmorProfile={"type": "RuntimeDefault"}))
    ns.wait("pod/armed", "jsonpath={.status.reason}=AppArmor")
    message = ns.get("pod", "armed")["status"]["message"]
    assert message.endswith("Cannot enforce AppArmor: AppArmor is not enabled on the host")
    ns.wait("pod/plain", "condition=Ready")


@pytest.mark.skipif(not HAS_APPARMOR, reason="this kernel has no AppArmor")
def test_apparmor_confines_what_does_not_ask_to_be_left_alone(ns: Namespaced) -> None:
    """What seccomp and capabilities would let pass, a mount, tells who is confined."""
    may_mount = {
        "capabilities": {"add": ["SYS_ADMIN"]}, "seccompProfile": {"type": "Unconfined"},
    }  # fmt: skip
    ns.apply(
        a_secured("plain", **may_mount),
        a_secured("default", appArmorProfile={"type": "RuntimeDefault"}, **may_mount),
        a_secured("free", appArmorProfile={"type": "Unconfined"}, **may_mount),
        a_secured("lost", appArmorProfile={"type": "Localhost", "localhostProfile": "no-such"}),
    )
    for name, confined in (("plain", True), ("default", True), ("free", False)):
        ns.wait(f"pod/{name}", "condition=Ready")
        label = ns.sh(name, "cat /proc/1/attr/current").strip()
        assert (label.startswith("podium-") and label.endswith("(enforce)")) is confined, label
        mounted = ns.sh(name, "mount -t tmpfs none /tmp 2>&1 && echo done || true")
        assert ("done" not in mounted.splitlines()) is confined, mounted
    ns.wait("pod/lost", "jsonpath={.status.reason}=AppArmor")
    assert 'profile "no-such" is not loaded' in ns.get("pod", "lost")["status"]["message"]


def test_capabilities_are_added_and_dropped(ns: Namespaced) -> None:
    ns.apply(
        a_secured("few", capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CAP_CHOWN"]}),
        a_secured("user", runAsUser=1000, capabilities={"add": ["SYS_TIME"]}),
    )
    ns.wait("pod/few", "condition=Ready")
    wanted = f"{1 << 10 | 1 << 0:016x}"
    few = status_of(ns, "few")
    assert {few[f"Cap{name}"] for name in ("Prm", "Eff", "Bnd")} == {wanted}
    assert {few["CapInh"], few["CapAmb"]} == {"0" * 16}
    ns.wait("pod/user", "condition=Ready")
    user = status_of(ns, "user")
    assert {user["CapPrm"], user["CapEff"], user["CapAmb"]} == {"0" * 16}
    assert int(user["CapBnd"], 16) & 1 << 25  # what a set-user-ID program may get


def test_a_privileged_container_has_what_the_node_has(ns: Namespaced) -> None:
    ns.apply(a_secured(privileged=True))
    ns.wait("pod/web", "condition=Ready")
    own = Path("/proc/self/status").read_text()
    permitted = re.search(r"CapPrm:\s+(\w+)", own)
    assert permitted
    seen = status_of(ns, "web")
    assert (seen["CapEff"], seen["Seccomp"]) == (permitted[1], "0")
    assert ns.sh("web", "grep -c ' /proc/' /proc/self/mountinfo || true") == "0"
    assert " ro," not in ns.sh("web", "grep ' /sys ' /proc/self/mountinfo")


def test_a_read_only_root_still_has_writable_volumes(ns: Namespaced) -> None:
    pod = a_secured(readOnlyRootFilesystem=True)
    pod["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert "Read-only file system" in ns.sh("web", "touch /x 2>&1 || true")
    assert ns.sh("web", "touch /tmp/x /dev/shm/x && echo written") == "written"


def test_root_is_refused_where_it_may_not_be(ns: Namespaced) -> None:
    ns.apply(a_secured("root", runAsNonRoot=True))
    ns.apply(a_secured("user", pod={"runAsUser": 1000}, runAsNonRoot=True))
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    ns.wait("pod/root", f"{reason}=CreateContainerConfigError")
    state = ns.get("pod", "root")["status"]["containerStatuses"][0]["state"]
    assert "container has runAsNonRoot and image will run as root" in state["waiting"]["message"]
    ns.wait("pod/user", "condition=Ready")
    assert ns.sh("user", "id -u") == "1000"


def test_proc_is_unmasked_in_a_user_namespace(ns: Namespaced) -> None:
    pod = a_secured(procMount="Unmasked")
    pod["spec"]["hostUsers"] = False
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "grep -c ' /proc/' /proc/self/mountinfo || true") == "0"
    assert ns.sh("web", "echo x > /proc/sys/kernel/core_pattern || echo refused") == "refused"


def test_what_contradicts_itself_is_refused_by_the_api(ns: Namespaced) -> None:
    pod = a_secured(privileged=True, allowPrivilegeEscalation=False, procMount="Unmasked")
    refusal = ns.kubectl("create", "-f", "-", stdin=json.dumps(pod), check=False).stderr
    assert "cannot set `allowPrivilegeEscalation` to false and `privileged` to true" in refusal
    assert "`hostUsers` must be false to use `Unmasked`" in refusal
