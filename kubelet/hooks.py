"""postStart and preStop: one run of a lifecycle hook, in the thread of whoever calls.

Room kubelet; called by container_start.py and container_stop.py. An HTTP hook succeeds with any
answer at all, and tcpSocket is none that Kubernetes can run (`pkg/kubelet/lifecycle/handlers.go`).
"""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import Any

from kubelet.log_follower import Exits
from kubelet.probes.plan import NoSuchPort
from kubelet.runtime.errors import ContainerNotFound, RuntimeFailure
from kubelet.runtime.protocol import Runtime

Object = dict[str, Any]

USER_AGENT = "kube-lifecycle/1.32"
HTTP_TIMEOUT_S = 30.0


class HookFailed(Exception):
    """What went wrong; for the log, for it may tell a secret of the container's."""


@dataclass(frozen=True)
class Hooks:
    """`exits` tells when a container has ended, so that nobody sleeps on for it."""

    runtime: Runtime
    exits: Exits

    def run(
        self, action: Object, container: Object, container_id: str, ip: str,
        timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        """Raises HookFailed, or TimeoutError when it has not ended in time (it goes on)."""
        try:
            if command := action.get("exec"):
                self._exec(command.get("command") or [], container, container_id, timeout_s)
            elif get := action.get("httpGet"):
                _get(get, container, ip, HTTP_TIMEOUT_S if timeout_s is None else timeout_s)
            elif action.get("sleep") is not None:
                self._sleep(container_id, float(action["sleep"].get("seconds") or 0), timeout_s)
            else:
                raise HookFailed(f"invalid handler: {', '.join(action) or 'none'}")
        except (RuntimeFailure, NoSuchPort) as failure:
            raise HookFailed(str(failure)) from None

    def _exec(
        self, command: list[str], container: Object, container_id: str, timeout_s: float | None
    ) -> None:
        from kubelet.probes.handlers import static_command

        session = self.runtime.exec(container_id, static_command(command, container))
        if code := session.wait(timeout_s):
            raise HookFailed(f"command '{' '.join(command)}' exited with {code}")

    def _sleep(self, container_id: str, seconds: float, timeout_s: float | None) -> None:
        wait_s = seconds if timeout_s is None else min(seconds, timeout_s)
        if not self.has_ended(container_id, wait_s) and wait_s < seconds:
            raise TimeoutError(f"slept {wait_s:g} s of {seconds:g}")

    def has_ended(self, container_id: str, within_s: float) -> bool:
        """Wait for a container's end, as long as that."""
        fd = self.exits.add(container_id)
        try:
            if self.runtime.container_status(container_id).state == "exited":
                return True
            return bool(select.select([fd], [], [], within_s)[0])
        except ContainerNotFound:
            return True
        finally:
            self.exits.remove(container_id, fd)


def _get(get: Object, container: Object, ip: str, timeout_s: float) -> None:
    """Over HTTPS first if it asks for that; a server that speaks plain HTTP is asked so."""
    import asyncio

    from kubelet.probes import http_probe

    request = http_probe.request_of(get, container, ip, USER_AGENT)
    try:
        asyncio.run(http_probe.fetch(request, timeout_s))
    except http_probe.HTTPFailure as failure:
        if not request.url.startswith("https:") or "tls:" not in str(failure):
            raise HookFailed(str(failure)) from None
        plain = http_probe.Request(request.url.replace("https:", "http:", 1), request.headers)
        try:
            asyncio.run(http_probe.fetch(plain, timeout_s))
        except http_probe.HTTPFailure as again:
            raise HookFailed(str(again)) from None
