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
        self._failed: dict[tuple[str, str], str] = {}  # (uid, container name) → message

    def begin(self, ending: Ending) -> None:
        """Run the hook of the container that has just been started; `ending` is how it is ended
        if the hook fails."""
        assert ending.spec is not None
        hook = (ending.spec.get("lifecycle") or {}).get("postStart")
        uid, name = ending.container.sandbox_id, ending.container.name
        self._failed.pop((uid, name), None)
        if not hook:
            return
        with self._lock:
            self._under_way[ending.container.id] = uid
        threading.Thread(
            target=self._run, args=(hook, ending), name=f"post-start-{name}", daemon=True
        ).start()

    def under_way(self, uid: str) -> set[str]:
        """Ids of the Pod's containers that are not started yet because of their hook."""
        with self._lock:
            return {id_ for id_, of in self._under_way.items() if of == uid}

    def failure(self, uid: str, name: str) -> str | None:
        """Why the last hook of this container failed, until it is started again."""
        return self._failed.get((uid, name))

    def forget(self, uid: str) -> None:
        for key in [key for key in list(self._failed) if key[0] == uid]:
            self._failed.pop(key, None)

    def _run(self, hook: Object, ending: Ending) -> None:
        container, uid = ending.container, ending.container.sandbox_id
        assert ending.spec is not None
        assert ending.pod is not None
        try:
            self._hooks.run(hook, ending.spec, container.id, ending.ip)
        except HookFailed as failure:
            log.info("%s: postStart of %s failed: %s", uid, container.name, failure)
            self._failed[uid, container.name] = _message(hook, ending, failure)
            self._recorder.event(
                ending.pod, "Warning", "FailedPostStartHook", "PostStartHook failed",
                field_path=ending.field_path,
            )  # fmt: skip
            self._stops.begin([ending])
        finally:
            with self._lock:
                del self._under_way[container.id]
            self._requeue(uid)


def _message(hook: Object, ending: Ending, failure: HookFailed) -> str:
    """As the status shows it."""
    assert ending.pod is not None
    about = ending.pod["metadata"]
    where = f"{about['name']}_{about['namespace']}({about['uid']})"
    whom = f'for Container "{ending.container.name}" in Pod "{where}"'
    if command := hook.get("exec"):
        words = " ".join(command.get("command") or ())
        what = f"Exec lifecycle hook ([{words}]) {whom}"
    elif get := hook.get("httpGet"):
        what = f"HTTP lifecycle hook ({get.get('path') or ''}) {whom}"
    else:
        return str(failure)
    return f'{what} failed - error: {failure}, message: ""'
