"""Room controllers: keeps as many Pods as each ReplicaSet asks for.

Runs in the controllers' process. Reads ReplicaSets and Pods from informers, writes Pods and the
ReplicaSets' status through the API. What to delete and what the status is is decided in
`replicaset_plan.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from controllers import pictures
from controllers import replicaset_plan as plan
from controllers.expectations import FORGET_AFTER_S, Expectations
from controllers.ownership import Claims, controlled_by, index_by_controller, owned_or_orphaned
from controllers.status_writer import StatusWriter
from podium.api import meta, selectors
from podium.client import debug_hook, tracing
from podium.client.clock import Clock
from podium.client.debug_hook import Picture
from podium.client.errors import ApiError, ClientError, NotFound
from podium.client.event_recorder import Recorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

REPLICASETS = "replicasets.apps"
BURST = 500  # Pods created or deleted in one pass
WRITERS = 8  # threads; that many writes share a commit

_log = logging.getLogger("replicaset")


class ReplicaSetController:
    """See the module."""

    name = "replicaset"
    component = "replicaset-controller"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: Recorder, clock: Clock
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._replicasets = informers.informer(REPLICASETS)
        self._pods = informers.informer("pods")
        self._expectations = Expectations(clock)
        self._status = StatusWriter(client, REPLICASETS, clock)
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="replicaset-writer")
        self._loop = ReconcileLoop(
            self.name, self.reconcile, workers=2, clock=clock, picture=self.picture
        )
        index_by_controller(self._pods)
        index_by_controller(self._replicasets)
        self._replicasets.add_handler(
            on_add=self._enqueue,
            on_update=lambda _, new: self._enqueue(new),
            on_delete=self._on_replicaset_delete,
        )
        self._pods.add_handler(self._on_pod_add, self._on_pod_update, self._on_pod_delete)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- the loop -------------------------------------------------------------------------------

    def reconcile(self, key: str) -> float | None:
        """Create or delete Pods, then write the status if it has changed."""
        replicaset = self._replicasets.get(key)
        if replicaset is None:
            self._expectations.forget(key)
            self._status.forget(key)
            return None
        # Asked before the Pods are read: what is seen in between can only be seen too early.
        is_settled = self._expectations.are_met(key)
        pods = self._claim(replicaset)
        failure: ClientError | None = None
        if is_settled and not replicaset["metadata"].get("deletionTimestamp"):
            failure = self._manage(key, replicaset, pods)
        if failure is None and not self._expectations.are_met(key):
            return FORGET_AFTER_S  # what we have done will be seen in a moment, and counted then
        return self._write_status(key, replicaset, pods, failure)

    def _claim(self, replicaset: Object) -> list[Object]:
        candidates = owned_or_orphaned(self._pods, replicaset)
        active = [pod for pod in candidates if meta.is_pod_active(pod)]
        selector = selectors.from_dict(replicaset["spec"]["selector"])
        return Claims(self._client, replicaset, REPLICASETS, "pods").claim(active, selector)

    def _manage(self, key: str, replicaset: Object, pods: list[Object]) -> ClientError | None:
        """Make the number of Pods right; the first error, if there was one."""
        missing = _wanted(replicaset) - len(pods)
        if missing > 0:
            return self._create(key, replicaset, min(missing, BURST))
        if missing < 0:
            return self._delete(key, replicaset, pods, min(-missing, BURST))
        return None

    def _write_status(
        self, key: str, replicaset: Object, pods: list[Object], failure: ClientError | None
    ) -> float | None:
        now = self._clock.now()
        wanted = _wanted(replicaset)
        status = plan.next_status(replicaset, pods, _told(failure, wanted, len(pods)), now)
        is_urgent = failure is not None or status.get("availableReplicas", 0) == wanted
        again_s = self._status.write(key, replicaset, status, is_urgent=is_urgent)
        if failure is not None:
            raise failure
        if again_s is not None:
            return again_s
        min_ready_s = replicaset["spec"].get("minReadySeconds") or 0
        return plan.seconds_until_available(pods, min_ready_s, now) if min_ready_s else None

    # --- creating and deleting ------------------------------------------------------------------

    def _create(self, key: str, replicaset: Object, count: int) -> ClientError | None:
        pod = plan.pod_from_template(replicaset, meta.owner_reference(replicaset))
        self._expectations.expect_creations(key, count)
        created, error = self._slow_start(count, lambda: self._create_one(key, replicaset, pod))
        if created < count:
            self._expectations.creations_observed(key, count - created)
        if error is not None and _is_terminating_namespace(error):
            return None  # everything here goes away; nothing is wrong
        return error

    def _create_one(self, key: str, replicaset: Object, pod: Object) -> None:
        try:
            made = self._client.create("pods", pod)
        except ApiError as error:
            if not _is_terminating_namespace(error):
                message = f"Error creating: {error}"
                self._recorder.event(replicaset, "Warning", "FailedCreate", message)
            raise
        name = made["metadata"]["name"]
        self._recorder.event(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {name}")

    def _slow_start(self, count: int, action: Callable[[], None]) -> tuple[int, ClientError | None]:
        """Do it once, then twice at a time, four times, …; how often it went well, and the first
        error. So what cannot work (a quota, a bad template) fails once, not five hundred times."""
        done, size = 0, 1
        while done < count:
            size = min(size, count - done)
            errors = self._in_parallel([action] * size)
            done += size - len(errors)
            if errors:
                return done, errors[0]
            size *= 2
        return done, None

    def _delete(
        self, key: str, replicaset: Object, pods: list[Object], count: int
    ) -> ClientError | None:
        doomed = plan.pods_to_delete(pods, count, self._related(replicaset), self._clock.now())
        self._expectations.expect_deletions(key, [meta.key_of(pod) for pod in doomed])

        def deletion(pod: Object) -> Callable[[], None]:
            return lambda: self._delete_one(key, replicaset, pod)

        errors = self._in_parallel([deletion(pod) for pod in doomed])
        return errors[0] if errors else None

    def _delete_one(self, key: str, replicaset: Object, pod: Object) -> None:
        about = pod["metadata"]
        try:
            self._client.delete("pods", about["name"], about["namespace"], uid=about["uid"])
        except NotFound:
            self._expectations.deletion_observed(key, meta.key_of(pod))
            return
        except ClientError as error:
            self._expectations.deletion_observed(key, meta.key_of(pod))
            message = f"Error deleting: {error}"
            self._recorder.event(replicaset, "Warning", "FailedDelete", message)
            raise
        message = f"Deleted pod: {about['name']}"
        self._recorder.event(replicaset, "Normal", "SuccessfulDelete", message)

    def _related(self, replicaset: Object) -> Iterable[Object]:
        """The Pods of all ReplicaSets that have the same owner as this one."""
        owner = meta.controller_of(replicaset)
        family = controlled_by(self._replicasets, owner["uid"]) if owner else [replicaset]
        for member in family:
            yield from controlled_by(self._pods, member["metadata"]["uid"])

    def _in_parallel(self, actions: list[Callable[[], None]]) -> list[ClientError]:
        if len(actions) == 1 or debug_hook.session() is not None:
            # One after the other under a debugger, which may hold each, in this thread.
            return [error for action in actions for error in _errors_of(action)]
        results = self._pool.map(tracing.carried(_errors_of), actions)
        return [error for errors in results for error in errors]

    def picture(self, key: str) -> Picture:
        """What a debugger shows of a ReplicaSet."""
        replicaset = self._replicasets.get(key)
        if replicaset is None:
            return Picture(None)
        pods = controlled_by(self._pods, replicaset["metadata"]["uid"])
        active = [pod for pod in pods if meta.is_pod_active(pod)]
        return pictures.of_replicaset(replicaset, active, self._clock.now())

    # --- what wakes it --------------------------------------------------------------------------

    def _enqueue(self, replicaset: Object) -> None:
        self._loop.add(meta.key_of(replicaset))

    def _on_replicaset_delete(self, replicaset: Object) -> None:
        self._expectations.forget(meta.key_of(replicaset))
        self._enqueue(replicaset)

    def _on_pod_add(self, pod: Object) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            self._on_pod_delete(pod)
            return
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.creations_observed(key)
            self._loop.add(key)
        elif meta.controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _on_pod_update(self, old: Object, new: Object) -> None:
        if plan.what_matters(old) == plan.what_matters(new):
            return
        if new["metadata"].get("deletionTimestamp"):
            self._on_pod_delete(new)
        for pod in (old, new):
            if key := self._owner_key(pod):
                self._loop.add(key)
        if meta.controller_of(new) is None:
            self._enqueue_matching(new)

    def _on_pod_delete(self, pod: Object) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, meta.key_of(pod))
            self._loop.add(key)

    def _owner_key(self, pod: Object) -> str | None:
        """The ReplicaSet that controls a Pod: of that uid, not only of that name."""
        reference = meta.controller_of(pod)
        if reference is None or reference["kind"] != "ReplicaSet":
            return None
        key = f"{pod['metadata']['namespace']}/{reference['name']}"
        found = self._replicasets.get(key)
        return key if found and found["metadata"]["uid"] == reference["uid"] else None

    def _enqueue_matching(self, pod: Object) -> None:
        """An orphan: whoever selects it may adopt it."""
        labels = pod["metadata"].get("labels") or {}
        for replicaset in self._replicasets.list(pod["metadata"].get("namespace")):
            if selectors.from_dict(replicaset["spec"]["selector"]).matches(labels):
                self._enqueue(replicaset)


def _wanted(replicaset: Object) -> int:
    replicas = replicaset["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _errors_of(action: Callable[[], None]) -> tuple[ClientError, ...]:
    try:
        action()
    except ClientError as error:
        return (error,)
    return ()


def _told(failure: ClientError | None, wanted: int, found: int) -> tuple[str, str] | None:
    if failure is None:
        return None
    return ("FailedCreate" if found < wanted else "FailedDelete", str(failure))


def _is_terminating_namespace(error: ClientError) -> bool:
    if not isinstance(error, ApiError):
        return False
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
