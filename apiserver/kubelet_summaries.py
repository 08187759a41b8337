"""The kubelets' figures (/stats/summary), asked for when somebody wants them. Room apiserver.

Called by resource_metrics.py and usage.py. All nodes are asked at once, each at most every FRESH_S
whoever wants to know; a node that does not answer is left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gevent
import orjson

from apiserver.errors import ApiError
from apiserver.kubelet_proxy import KubeletProxy

Object = dict[str, Any]
log = logging.getLogger("apiserver.metrics")

FRESH_S = 2.0
CPU_AND_MEMORY = "/stats/summary?only_cpu_and_memory=true"
EVERYTHING = "/stats/summary"


@dataclass(slots=True)
class Answer:
    """What a node said, and when; `summary` is empty if it did not."""

    at: float
    summary: Object
    window: str


class KubeletSummaries:
    """One per server and page of the kubelets."""

    def __init__(self, kubelets: KubeletProxy, page: str) -> None:
        self._kubelets, self._page = kubelets, page
        self._asking: dict[str, gevent.Greenlet] = {}  # by node; shared by all who wait
        self._known: dict[str, Answer] = {}

    def ask(self, names: Iterable[str]) -> dict[str, Answer]:
        """What the nodes say, in the order of their names."""
        wanted_nodes = sorted(names)
        old = time.monotonic() - FRESH_S
        for name in wanted_nodes:
            known = self._known.get(name)
            if name not in self._asking and (known is None or known.at < old):
                self._asking[name] = gevent.spawn(self._ask_one, name)
        gevent.joinall([g for name, g in self._asking.items() if name in wanted_nodes])
        answers = {name: self._known[name] for name in wanted_nodes if name in self._known}
        return {name: answer for name, answer in answers.items() if answer.summary}

    def _ask_one(self, name: str) -> None:
        summary, window = {}, ""
        try:
            body, headers = self._kubelets.ask(name, self._page)
            summary, window = orjson.loads(body), headers.get("Podium-Window-Seconds", "0")
        except (ApiError, ValueError) as failure:
            log.info("no figures of node %s: %s", name, failure)
        finally:
            self._known[name] = Answer(time.monotonic(), summary, f"{float(window or 0):.3f}s")
            del self._asking[name]
