"""Ending containers: hooks, turns, grace periods; on the fake runtime."""

from __future__ import annotations

from typing import Any

from kubelet.container_stop import MIN_GRACE_S, ContainerStops, Ending, order
from kubelet.hooks import HookFailed
from kubelet.runtime.protocol import ContainerStatus
from tests.support.waiting import eventually
from tests.unit.kubelet.containers import a_container, a_kubelet_pod, a_status

Object = dict[str, Any]
PRE_STOP = {"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}


class World:
    """Plays runtime, recorder and hooks, and writes down what they were asked for."""

    def __init__(self, hook_error: Exception | None = None) -> None:
        self.said: list[str] = []
        self.graces: dict[str, float] = {}
        self.woken: list[str] = []
        self._hook_error = hook_error
        self.stops = ContainerStops(self, self, self, self.woken.append)  # type: ignore[arg-type]

    def stop_container(self, container_id: str, grace_s: float) -> None:
        self.graces[container_id] = grace_s
        self.said.append(f"stop {container_id}")

    def run(self, _action: Object, _spec: Object, container_id: str, *_: Any) -> None:
        self.said.append(f"hook {container_id}")
        if self._hook_error:
            raise self._hook_error

    def event(self, _obj: Object, _type: str, reason: str, message: str, **_: Any) -> None:
        self.said.append(f"{reason} {message}")

    def end(self, *endings: Ending) -> None:
        self.stops.begin(endings)
        eventually(lambda: len(self.woken) == len(endings))


def ending(status: ContainerStatus, grace_s: float = 30, **fields: Any) -> Ending:
    spec = a_container(status.name, **PRE_STOP)
    pod = a_kubelet_pod(spec)
    found = Ending(status, grace_s, **fields)
    return found.known_by(pod, (f"spec.containers{{{status.name}}}", spec), "10.0.0.9")


def test_event_hook_and_stop_come_in_this_order_within_one_grace_period() -> None:
    world = World()
    world.end(ending(a_status()))
    assert world.said == ["Killing Stopping container main", "hook main-0", "stop main-0"]
    assert 29 < world.graces["main-0"] <= 30


def test_a_hook_that_fails_or_takes_too_long_keeps_nothing_from_its_end() -> None:
    world = World(HookFailed("no"))
    world.end(ending(a_status()))
    assert world.said[-2:] == ["FailedPreStopHook PreStopHook failed", "stop main-0"]
    late = World(TimeoutError())
    late.end(ending(a_status(), grace_s=0.01))
    assert late.graces["main-0"] == MIN_GRACE_S


def test_without_a_grace_period_no_hook_is_run_and_two_seconds_are_given() -> None:
    world = World()
    world.end(ending(a_status(), grace_s=0))
    assert (world.said[1:], world.graces["main-0"]) == (["stop main-0"], 2.0)


def test_nobody_is_told_of_the_end_of_an_orphan() -> None:
    world = World()
    world.end(Ending(a_status(), 2.0))
    assert world.said == ["stop main-0"]


def test_a_container_waits_for_those_whose_end_comes_first() -> None:
    world = World()
    side = ending(a_status("side"), after=("main-0",))
    world.end(side, ending(a_status("main")))
    stops = [line for line in world.said if line.startswith("stop")]
    assert stops == ["stop main-0", "stop side-0"]


def test_a_sidecar_ends_after_all_that_has_started_after_it() -> None:
    sidecars = tuple(a_container(name, restartPolicy="Always") for name in ("one", "two"))
    pod = a_kubelet_pod(a_container("a"), a_container("b"), inits=(*sidecars, a_container("init")))
    living = [a_status(name) for name in ("one", "two", "a")]
    assert order(pod, living) == {"two-0": ("a-0",), "one-0": ("a-0", "two-0")}
