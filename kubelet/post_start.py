"""postStart hooks under way: a container is not Running, and the next one not started, before its
hook is done; one whose hook fails is ended.

Room kubelet; called by pod_sync.py in its worker threads. A hook runs in a thread of its own, which
has the Pod looked at again. After a restart of the kubelet a container that runs is taken as
started: Kubernetes does not run its hook again either.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from kubelet.container_stop import ContainerStops, Ending
from kubelet.hooks import HookFailed, Hooks
from podium.client.event_recorder import Recorder

log = logging.getLogger("post-start")
Object = dict[str, Any]

END_S = 10.0  # for a container to end, after its grace period


class PostStarts:
    """`requeue(uid)` has the Pod looked at again."""

    def __init__(
        self,
        recorder: Recorder,
        hooks: Hooks,
        stops: ContainerStops,
        requeue: Callable[[str], None],
    ) -> None:
        self._recorder, self._hooks, self._stops = recorder, hooks, stops
        self._requeue = requeue
        self._lock = threading.Lock()
        self._under_way: dict[str, str] = {}  # container id → uid

    def begin(self, ending: Ending) -> None:
        """Run the hook of the container that has just been started; `ending` is how it is ended
        if the hook fails."""
        assert ending.spec is not None
        hook = (ending.spec.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        with self._lock:
            self._under_way[ending.container.id] = ending.container.sandbox_id
        name = f"post-start-{ending.container.name}"
        threading.Thread(target=self._run, args=(hook, ending), name=name, daemon=True).start()

    def under_way(self, uid: str) -> set[str]:
        """Ids of the Pod's containers that are not started yet because of their hook."""
        with self._lock:
            return {id_ for id_, of in self._under_way.items() if of == uid}

    def _run(self, hook: Object, ending: Ending) -> None:
        container, uid = ending.container, ending.container.sandbox_id
        assert ending.spec is not None
        assert ending.pod is not None
        try:
            self._hooks.run(hook, ending.spec, container.id, ending.ip)
        except HookFailed as failure:
            log.info("%s: postStart of %s failed: %s", uid, container.name, failure)
            self._recorder.event(
                ending.pod, "Warning", "FailedPostStartHook", "PostStartHook failed",
                field_path=ending.field_path,
            )  # fmt: skip
            self._stops.begin([ending])
            self._hooks.has_ended(container.id, ending.grace_s + END_S)  # it never was Running
        finally:
            with self._lock:
                del self._under_way[container.id]
            self._requeue(uid)
