"""A seccomp profile as the OCI runtime specification has it, checked and made plain. Pure.

Room kubelet; called by __init__.py, read by compiler.py. The JSON is that of the specification and
of Docker's profiles, whose `includes` and `excludes` depend on capabilities, architecture and
kernel: they are settled here. Source: opencontainers/runtime-spec `config-linux.md#seccomp`,
`man 3 seccomp_rule_add`, moby `profiles/seccomp`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from kubelet.seccomp.abi import ABIS_OF

Object = dict[str, Any]

EPERM, ENOSYS = 1, 38
_ERRNO_MAX = 4095  # a filter cannot return a larger one
_ACTIONS = {  # SECCOMP_RET_… of linux/seccomp.h
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_OPERATORS = (
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)  # fmt: skip
_HARMLESS_FLAGS = ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
_GO_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_GO_FAMILIES = {"amd64": ("amd64", "x86", "x32"), "arm64": ("arm64", "arm")}


class ProfileError(Exception):
    """The profile cannot be read or says what cannot be done: CreateContainerError."""


@dataclass(frozen=True)
class Condition:
    """Of argument `index` (0–5); "MASKED_EQ" is `argument & value == value_two`."""

    index: int
    operator: str  # without its prefix, e.g. "EQ"
    value: int
    value_two: int


@dataclass(frozen=True)
class Rule:
    """For one call: what is returned to the kernel if all conditions hold."""

    call: str
    conditions: tuple[Condition, ...]
    verdict: int


@dataclass(frozen=True)
class Profile:
    """`rules` in the order of the profile: the first that holds decides. `beyond` is the verdict on
    calls newer than any the profile speaks of."""

    abis: tuple[str, ...]
    rules: tuple[Rule, ...]
    otherwise: int
    beyond: int


@dataclass(frozen=True)
class Situation:
    """What a profile may depend on; `kernel` is (6, 1)."""

    machine: str
    kernel: tuple[int, int]
    capabilities: frozenset[str]


def parse(text: bytes, situation: Situation) -> Profile:
    """Raises ProfileError."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ProfileError(f"decoding seccomp profile failed: {error}") from None
    if not isinstance(found, dict):
        raise ProfileError("decoding seccomp profile failed: it is not an object")
    try:
        return make_profile(found, situation)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ProfileError(f"decoding seccomp profile failed: {error}") from None


def make_profile(found: Object, situation: Situation) -> Profile:
    if situation.machine not in ABIS_OF:
        raise ProfileError(f"no seccomp filter can be made for {situation.machine}")
    for flag in found.get("flags") or ():
        if flag not in _HARMLESS_FLAGS:
            raise ProfileError(f"seccomp flag {flag!r} is not supported")
    if found.get("listenerPath"):
        raise ProfileError("seccomp listenerPath is not supported: there is no agent to notify")
    default = found["defaultAction"]
    otherwise = _verdict(default, found.get("defaultErrnoRet"))
    return Profile(
        abis=tuple(_abis(found, situation.machine)),
        rules=tuple(_rules(found, situation, otherwise)),
        otherwise=otherwise,
        beyond=otherwise if default in _PERMISSIVE else _verdict("SCMP_ACT_ERRNO", ENOSYS),
    )


def _verdict(action: str, errno: int | None) -> int:
    if action == "SCMP_ACT_NOTIFY":
        raise ProfileError("seccomp action SCMP_ACT_NOTIFY needs an agent: it is not supported")
    if action not in _ACTIONS:
        raise ProfileError(f"unknown seccomp action {action!r}")
    if action not in _WITH_ERRNO:
        if errno is not None:
            raise ProfileError(f"errnoRet is not for action {action}")
        return _ACTIONS[action]
    number = EPERM if errno is None else int(errno)
    if not 0 <= number <= _ERRNO_MAX:
        raise ProfileError(f"errnoRet {number} is not between 0 and {_ERRNO_MAX}")
    return _ACTIONS[action] | number


def _abis(found: Object, machine: str) -> Iterator[str]:
    """The native one always; of the others those that the profile names."""
    native, *others = ABIS_OF[machine]
    wanted = set(found.get("architectures") or ())
    for entry in found.get("archMap") or ():
        if entry["architecture"] == native:
            wanted |= set(entry.get("subArchitectures") or ())
    yield native
    yield from (abi for abi in others if abi in wanted)


def _rules(found: Object, situation: Situation, otherwise: int) -> Iterator[Rule]:
    for entry in found.get("syscalls") or ():
        if not _applies(entry, situation):
            continue
        verdict = _verdict(entry["action"], entry.get("errnoRet"))
        for conditions in _alternatives([_condition(a) for a in entry.get("args") or ()]):
            for call in entry.get("names") or (entry["name"],):
                yield Rule(str(call), conditions, verdict)


def _condition(found: Object) -> Condition:
    index, operator = int(found["index"]), str(found["op"])
    if not 0 <= index <= 5:
        raise ProfileError(f"a system call has no argument {index}")
    if operator not in _OPERATORS:
        raise ProfileError(f"unknown seccomp operator {operator!r}")
    mask = (1 << 64) - 1
    value, value_two = int(found["value"]) & mask, int(found.get("valueTwo") or 0) & mask
    return Condition(index, operator.removeprefix("SCMP_CMP_"), value, value_two)


def _alternatives(conditions: list[Condition]) -> list[tuple[Condition, ...]]:
    """All of them must hold; but if several are of the same argument, any of them (as in runc)."""
    if len({c.index for c in conditions}) == len(conditions):
        return [tuple(conditions)]
    return [(condition,) for condition in conditions]


def _applies(entry: Object, situation: Situation) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    has_all = all(name in situation.capabilities for name in includes.get("caps") or ())
    has_none = not any(name in situation.capabilities for name in excludes.get("caps") or ())
    return (
        has_all
        and has_none
        and (not includes.get("arches") or _is_one_of(situation.machine, includes["arches"]))
        and not _is_one_of(situation.machine, excludes.get("arches") or ())
        and situation.kernel >= _version(includes.get("minKernel"))
        and not (excludes.get("minKernel") and situation.kernel >= _version(excludes["minKernel"]))
    )


def _is_one_of(machine: str, arches: Collection[str]) -> bool:
    """Profiles name architectures as Go does."""
    return any(name in arches for name in _GO_FAMILIES[_GO_ARCHES[machine]])


def _version(text: str | None) -> tuple[int, int]:
    if not text:
        return (0, 0)
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
