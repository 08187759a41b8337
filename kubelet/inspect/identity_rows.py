"""The spec's fields that no cgroup holds, beside what /proc says of the container's first process.

Room kubelet/inspect; reads only. `call` is the system call that brought it about.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kubelet import security
from kubelet.inspect import processes
from kubelet.inspect.enforced import path_of
from kubelet.inspect.processes import Process
from kubelet.inspect.rows import row

Object = dict[str, Any]

# (field of a SecurityContext, the call, the file below /proc/<pid>): the rows of
# docs/spec-to-kernel.md name the same calls.
SECURITY_FIELDS = (
    ("runAsUser", "setresuid(2)", "status: Uid"),
    ("runAsGroup", "setresgid(2)", "status: Gid"),
    ("capabilities", "capset(2)", "status: CapEff"),
    ("allowPrivilegeEscalation", "prctl(PR_SET_NO_NEW_PRIVS)", "status: NoNewPrivs"),
    ("seccompProfile", "seccomp(2)", "status: Seccomp"),
)


def rows(pod: Object, spec: Object, first: Process, who: Object) -> Iterator[Object]:
    base, proc = path_of(pod, spec["name"]), f"/proc/{first.pid}"
    own = spec.get("securityContext") or {}
    whole = pod["spec"].get("securityContext") or {}
    for field, call, file in SECURITY_FIELDS:
        is_own = own.get(field) is not None or field not in whole
        where = f"{base}.securityContext" if is_own else "spec.securityContext"
        asked = own.get(field) if is_own else whole.get(field)
        yield row(f"{where}.{field}", asked, f"{proc}/{file}", call, _LIVE[field](who))
    if own.get("privileged"):
        live = f"{len(who['capabilities']['effective'])} capabilities, seccomp {who['seccomp']}"
        field = f"{base}.securityContext.privileged"
        yield row(field, True, f"{proc}/status: CapEff, Seccomp", "capset(2)", live)
    groups = whole.get("supplementalGroups") or whole.get("fsGroup")
    name = "supplementalGroups" if whole.get("supplementalGroups") else "fsGroup"
    live = " ".join(map(str, who["groups"]))
    field = f"spec.securityContext.{name}"
    yield row(field, groups, f"{proc}/status: Groups", "setgroups(2)", live)
    if who["appArmor"]:
        asked = security.context_of(spec).get("appArmorProfile") or whole.get("appArmorProfile")
        file = f"{proc}/attr/apparmor/current"
        field = f"{base}.securityContext.appArmorProfile"
        yield row(field, asked, file, "write(2)", who["appArmor"])
    yield row(
        f"{base}.resources.requests.memory", (spec.get("resources") or {}).get("requests"),
        f"{proc}/oom_score_adj", "write(2)", str(who["oomScoreAdj"]),
        usage={"oomScore": who["oomScore"]},
    )  # fmt: skip
    yield from _program(base, spec, first, proc)


def _program(base: str, spec: Object, first: Process, proc: str) -> Iterator[Object]:
    """Nothing of the environment but how much there is: others may read this who may not read its
    Secrets."""
    asked = [*(spec.get("command") or ()), *(spec.get("args") or ())]
    command = first.read_if_any("cmdline").replace("\0", " ")
    yield row(f"{base}.command", asked, f"{proc}/cmdline", "execve(2)", command)
    count = len([word for word in first.read_if_any("environ").split("\0") if word])
    env = [one["name"] for one in spec.get("env") or ()]
    yield row(f"{base}.env", env, f"{proc}/environ", "execve(2)", f"{count} variables")
    with contextlib.suppress(OSError):
        asked_dir = spec.get("workingDir")
        yield row(f"{base}.workingDir", asked_dir, f"{proc}/cwd", "chdir(2)", first.link("cwd"))
    with contextlib.suppress(OSError):
        is_tty = spec.get("tty") or spec.get("stdin")
        field = "tty" if spec.get("tty") else "stdin"
        yield row(f"{base}.{field}", is_tty, f"{proc}/fd/0", "dup2(2)", first.link("fd/0"))


def _user(who: Object, kind: str) -> str:
    """ "1000", in a user namespace "0 (100000 on the host)"."""
    outside = who[kind]["effective"]
    own = processes.inside(outside, who[f"{kind}Map"])
    return str(own) if own == outside else f"{own} ({outside} on the host)"


def _seccomp(who: Object) -> str:
    filters = who["seccompFilters"]
    return f"{who['seccomp']}, {filters} of them" if filters > 1 else str(who["seccomp"])


_LIVE = {
    "runAsUser": lambda who: _user(who, "uid"),
    "runAsGroup": lambda who: _user(who, "gid"),
    "capabilities": lambda who: " ".join(who["capabilities"]["effective"]) or "none",
    "allowPrivilegeEscalation": lambda who: f"NoNewPrivs {int(who['noNewPrivs'])}",
    "seccompProfile": _seccomp,
}
