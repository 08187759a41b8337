"""How a simulated Pod is to go: its annotations. Pure.

    simulated.podium.dev/exit-code: "3"      its containers end so, also under restartPolicy Always
    simulated.podium.dev/run-for: 30s        how long those run that end (half a second)
    simulated.podium.dev/ready: "false"      it runs, and never becomes ready

Without them a container runs until it is stopped, and where the restartPolicy is not Always it ends
with 0. Init containers succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from podium.api.moments import parse_duration

Object = dict[str, Any]

PREFIX = "simulated.podium.dev/"
RUN_FOR_S = 0.5
INIT_RUNS_FOR_S = 0.02


@dataclass(frozen=True, slots=True)
class Wishes:
    """`exit_code` None: it runs until it is stopped."""

    exit_code: int | None = None
    run_for_s: float = RUN_FOR_S
    is_ready: bool = True


def wishes_of(pod: Object) -> Wishes:
    """What cannot be understood counts as not said."""
    said = pod["metadata"].get("annotations") or {}
    ends_by_itself = (pod["spec"].get("restartPolicy") or "Always") != "Always"
    return Wishes(
        _exit_code(said.get(f"{PREFIX}exit-code"), 0 if ends_by_itself else None),
        _duration_s(said.get(f"{PREFIX}run-for")),
        said.get(f"{PREFIX}ready") != "false",
    )


def _exit_code(text: str | None, default: int | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or int(text) > 255:
        return default
    return int(text)


def _duration_s(text: str | None) -> float:
    try:
        return parse_duration(text) if text is not None else RUN_FOR_S
    except ValueError:
        return RUN_FOR_S
