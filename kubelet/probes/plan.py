"""What a probe wants, and what its answers add up to. Pure.

Room kubelet; called by prober.py and handlers.py. Source: Kubernetes docs "Configure Liveness,
Readiness and Startup Probes"; kubelet `pkg/kubelet/prober` (worker.go, prober_manager.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Object = dict[str, Any]

Kind = Literal["startup", "liveness", "readiness"]
Result = Literal["success", "warning", "failure", "unknown"]

KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")
STARTUP_FIRST_S = 1.0  # after a container's start: to ask at once would count a failure for nothing


@dataclass(frozen=True)
class Target:
    """Who is asked: one container that runs, at its Pod's address."""

    id: str
    container: Object
    ip: str


@dataclass(frozen=True)
class Answer:
    """What one try found. "warning" counts as a success and is told; "unknown" (the probe itself
    could not be made) counts as nothing and is told."""

    result: Result
    message: str = ""

    @property
    def is_success(self) -> bool:
        return self.result in ("success", "warning")


@dataclass(frozen=True)
class Verdict:
    """What the probes of one running container say. `failed` names the probe because of which it
    has to be ended."""

    is_started: bool = True
    is_ready: bool = True
    failed: Literal["", "startup", "liveness"] = ""


@dataclass
class Tally:
    """The answers of one probe of one container so far. `result` changes only when enough equal
    answers have come in a row; None before that."""

    successes_needed: int
    failures_needed: int
    result: bool | None = None
    last: bool | None = None
    run: int = 0  # equal answers in a row

    def count(self, answer: Answer) -> bool:
        """Whether this answer has changed the result."""
        if answer.result == "unknown":
            return False
        is_success = answer.is_success
        self.run = self.run + 1 if is_success is self.last else 1
        self.last = is_success
        needed = self.successes_needed if is_success else self.failures_needed
        if self.run < needed or self.result is is_success:
            return False
        self.result = is_success
        return True


@dataclass
class Probe:
    """One probe of one container."""

    kind: Kind
    spec: Object
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(
            self.spec.get("successThreshold") or 1, self.spec.get("failureThreshold") or 3
        )

    @property
    def timeout_s(self) -> float:
        return float(self.spec.get("timeoutSeconds") or 1)

    @property
    def period_s(self) -> float:
        return float(self.spec.get("periodSeconds") or 10)

    def first_after_s(self) -> float:
        """Seconds from the container's start to the first try. Readiness is asked at once, as
        Kubernetes does when a container begins to run; liveness may kill, so it waits a period."""
        if delay_s := float(self.spec.get("initialDelaySeconds") or 0):
            return delay_s
        match self.kind:
            case "readiness":
                return 0.0
            case "startup":
                return min(STARTUP_FIRST_S, self.period_s)
        return self.period_s


def probes_of(container: Object) -> dict[Kind, Probe]:
    return {kind: Probe(kind, spec) for kind in KINDS if (spec := container.get(f"{kind}Probe"))}


def verdict(probes: dict[Kind, Probe]) -> Verdict:
    """Of a container that runs. Until its startup probe has succeeded it is neither started nor
    ready, and its other probes say nothing."""
    results = {kind: probe.tally.result for kind, probe in probes.items()}
    if "startup" in results and results["startup"] is not True:
        is_failed = results["startup"] is False
        return Verdict(False, False, "startup" if is_failed else "")
    is_ready = results.get("readiness", True) is True
    return Verdict(True, is_ready, "liveness" if results.get("liveness") is False else "")


def adopt(probes: dict[Kind, Probe], written: Object) -> None:
    """A container that ran before this kubelet did: what its status (`started`, `ready`) said is
    true until a probe says something else."""
    if "startup" in probes and written.get("started"):
        probes["startup"].tally.result = True
    if "readiness" in probes and written.get("ready"):
        probes["readiness"].tally.result = True


def due(probes: dict[Kind, Probe], *, is_ending: bool) -> Iterator[Probe]:
    """Those to be asked now: startup alone until it succeeds, then the others. A Pod that is being
    deleted is asked for its readiness only."""
    startup = probes.get("startup")
    if startup is not None and startup.tally.result is not True:
        if not is_ending and startup.tally.result is None:
            yield startup
        return
    liveness = probes.get("liveness")
    if liveness is not None and not is_ending and liveness.tally.result is not False:
        yield liveness
    if "readiness" in probes:
        yield probes["readiness"]


# ---- what handlers need to know -----------------------------------------------------------------


class NoSuchPort(Exception):
    """A port by a name that the container has not."""


def port_number(port: int | str, container: Object) -> int:
    """Raises NoSuchPort, in the words that Kubernetes has for it."""
    if isinstance(port, int):
        return port
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    if port.isdigit():
        return int(port)
    raise NoSuchPort(f'strconv.Atoi: parsing "{port}": invalid syntax')


def titled(kind: Kind) -> str:
    return kind.capitalize()
