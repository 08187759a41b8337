"""Room controllers: brings each Deployment's Pods from one template to the next, by ReplicaSets.

Runs in the controllers' process. Reads Deployments, ReplicaSets and (for Recreate) Pods from
informers, writes ReplicaSets and the Deployments' status. The next step is worked out in
`deployment_plan.py`, the status in `deployment_status.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from controllers import deployment_plan as plan
from controllers import deployment_status as progress
from controllers import pictures
from controllers.ownership import Claims, controlled_by, index_by_controller, owned_or_orphaned
from controllers.status_writer import StatusWriter
from podium.api import meta, selectors
from podium.client.clock import Clock
from podium.client.debug_hook import Picture
from podium.client.errors import AlreadyExists, ApiError, NotFound
from podium.client.event_recorder import Recorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

DEPLOYMENTS, REPLICASETS = "deployments.apps", "replicasets.apps"

_log = logging.getLogger("deployment")


@dataclass(slots=True)
class Rollout:
    """One pass over one Deployment: what there is, kept up to date with what the pass writes."""

    key: str
    deployment: Object
    new: Object | None
    old: list[Object]
    is_new_created: bool = field(default=False)

    @property
    def owned(self) -> list[Object]:
        return [*self.old, self.new] if self.new else self.old

    def put(self, written: Object) -> None:
        """A ReplicaSet has been changed."""
        uid = written["metadata"]["uid"]
        if self.new is not None and self.new["metadata"]["uid"] == uid:
            self.new = written
        self.old = [written if rs["metadata"]["uid"] == uid else rs for rs in self.old]


class DeploymentController:
    """See the module."""

    name = "deployment"
    component = "deployment-controller"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: Recorder, clock: Clock
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._deployments = informers.informer(DEPLOYMENTS)
        self._replicasets = informers.informer(REPLICASETS)
        self._pods = informers.informer("pods")
        self._status = StatusWriter(client, DEPLOYMENTS, clock)
        self._loop = ReconcileLoop(
            self.name, self.reconcile, workers=2, clock=clock, picture=self.picture
        )
        index_by_controller(self._replicasets)
        index_by_controller(self._pods)
        self._deployments.add_handler(
            self._enqueue, lambda _, new: self._enqueue(new), self._enqueue
        )
        self._replicasets.add_handler(
            self._on_replicaset, self._on_replicaset_update, self._on_replicaset
        )
        self._pods.add_handler(on_update=self._on_pod_update, on_delete=self._on_pod_end)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    # --- the loop -------------------------------------------------------------------------------

    def reconcile(self, key: str) -> float | None:
        """Take the next step of a rollout, then write the status if it has changed."""
        deployment = self._deployments.get(key)
        if deployment is None:
            self._status.forget(key)
            return None
        selector = selectors.from_dict(deployment["spec"]["selector"])
        if not selector:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, "Warning", "SelectingAll", message)
            return None
        candidates = owned_or_orphaned(self._replicasets, deployment)
        claims = Claims(self._client, deployment, DEPLOYMENTS, REPLICASETS)
        owned = claims.claim(candidates, selector)
        rollout = Rollout(key, deployment, *plan.new_and_old(deployment, owned))
        if deployment["metadata"].get("deletionTimestamp"):
            return self._write_status(rollout, is_moving=False)
        return self._step(rollout)

    def _step(self, rollout: Rollout) -> float | None:
        deployment = rollout.deployment
        is_paused = bool(deployment["spec"].get("paused"))
        if is_paused or plan.needs_scaling(deployment, rollout.owned):
            self._sync_annotations(rollout)
            for step in plan.plan_scaling(deployment, rollout.new, rollout.old):
                self._scale(rollout, step)
            if is_paused:
                self._clean_up(rollout)
            return self._write_status(rollout, is_moving=False)
        if plan.is_rolling(deployment):
            self._roll(rollout)
        else:
            self._recreate(rollout)
        return self._write_status(rollout, is_moving=True)

    def _roll(self, rollout: Rollout) -> None:
        new = self._ensure_new(rollout)
        steps = plan.plan_rollout(rollout.deployment, new, rollout.old)
        for step in steps:
            self._scale(rollout, step)
        if not steps:
            self._clean_up_when_complete(rollout)

    def _recreate(self, rollout: Rollout) -> None:
        """First nothing old is left, not even a Pod that is ending; then all that is new."""
        doomed = plan.active(rollout.old)
        for rs in doomed:
            self._scale(rollout, plan.Scale(rs, 0))
        if doomed or self._has_old_pods(rollout):
            self._sync_annotations(rollout)
            return
        new = self._ensure_new(rollout)
        steps = plan.plan_up(rollout.deployment, new, rollout.old)
        for step in steps:
            self._scale(rollout, step)
        if not steps:
            self._clean_up_when_complete(rollout)

    def _has_old_pods(self, rollout: Rollout) -> bool:
        if plan.counted(rollout.old, "replicas") > 0:
            return True
        pods = (p for rs in rollout.old for p in controlled_by(self._pods, rs["metadata"]["uid"]))
        return any(not _has_ended(pod) for pod in pods)

    def _clean_up_when_complete(self, rollout: Rollout) -> None:
        if progress.is_complete(rollout.deployment, rollout.deployment.get("status") or {}):
            self._clean_up(rollout)

    def _clean_up(self, rollout: Rollout) -> None:
        for rs in plan.plan_clean_up(rollout.deployment, rollout.old):
            about = rs["metadata"]
            try:
                self._client.delete(
                    REPLICASETS, about["name"], about["namespace"], uid=about["uid"]
                )
            except NotFound:
                _log.debug("replica set %s is gone already", about["name"])

    # --- the new ReplicaSet ---------------------------------------------------------------------

    def _ensure_new(self, rollout: Rollout) -> Object:
        """The ReplicaSet with the Deployment's template, made if there is none."""
        if rollout.new is None:
            self._create_new(rollout)
        self._sync_annotations(rollout)
        assert rollout.new is not None
        return rollout.new

    def _create_new(self, rollout: Rollout) -> None:
        deployment = rollout.deployment
        reference = meta.owner_reference(deployment)
        wanted = plan.new_replicaset(deployment, rollout.old, reference)
        name, size = wanted["metadata"]["name"], plan.replicas_of(wanted)
        try:
            rollout.new = self._client.create(REPLICASETS, wanted)
        except AlreadyExists:
            rollout.new = self._same_or_collision(rollout, wanted)
            return
        except ApiError as error:
            self._note_failed_creation(rollout, name, error)
            raise
        rollout.is_new_created = True
        if size > 0:
            self._tell(deployment, f"Scaled up replica set {name} from 0 to {size}")

    def _same_or_collision(self, rollout: Rollout, wanted: Object) -> Object:
        """The name is taken: by ourselves a moment ago, or by another template with this hash."""
        about = wanted["metadata"]
        found = self._client.get(REPLICASETS, about["name"], about["namespace"])
        owner = meta.controller_of(found) or {}
        is_ours = owner.get("uid") == rollout.deployment["metadata"]["uid"]
        template = rollout.deployment["spec"]["template"]
        if is_ours and plan.comparable(found["spec"]["template"]) == plan.comparable(template):
            return found
        status = dict(rollout.deployment.get("status") or {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        self._status.write(rollout.key, rollout.deployment, status, is_urgent=True)
        raise AlreadyExists(409, "AlreadyExists", f"replica set {about['name']} is another's")

    def _note_failed_creation(self, rollout: Rollout, name: str, error: ApiError) -> None:
        if any(
            c.get("reason") == "NamespaceTerminating" for c in error.details.get("causes") or ()
        ):
            return
        deployment, now = rollout.deployment, self._clock.now()
        message = f'Failed to create new replica set "{name}": {error}'
        status = progress.with_counts(deployment, None, rollout.old, now)
        progress.note_failed_creation(deployment, status, message, now)
        self._status.write(rollout.key, deployment, status, is_urgent=True)
        self._recorder.event(deployment, "Warning", "ReplicaSetCreateError", message)

    def _sync_annotations(self, rollout: Rollout) -> None:
        """The new ReplicaSet follows the Deployment's annotations and minReadySeconds."""
        new, deployment = rollout.new, rollout.deployment
        if new is None:
            return
        patch: Object = {}
        if not rollout.is_new_created and (
            changed := plan.new_annotations(deployment, new, rollout.old)
        ):
            patch["metadata"] = {"annotations": changed}
        min_ready_s = deployment["spec"].get("minReadySeconds") or 0
        if (new["spec"].get("minReadySeconds") or 0) != min_ready_s:
            patch["spec"] = {"minReadySeconds": min_ready_s}
        if patch:
            self._patch_replicaset(rollout, new, patch)

    # --- writing --------------------------------------------------------------------------------

    def _scale(self, rollout: Rollout, step: plan.Scale) -> None:
        """Size a ReplicaSet, and note on it what it is sized for. Raises Conflict if the cache
        was behind."""
        rs, had = step.replicaset, plan.replicas_of(step.replicaset)
        wanted = plan.size_annotations(rollout.deployment)
        found = rs["metadata"].get("annotations") or {}
        is_noted = all(found.get(name) == value for name, value in wanted.items())
        if step.replicas == had and is_noted:
            return
        patch: Object = {"metadata": {"annotations": wanted}, "spec": {"replicas": step.replicas}}
        self._patch_replicaset(rollout, rs, patch)
        if step.replicas != had:
            way = "up" if step.replicas > had else "down"
            name = rs["metadata"]["name"]
            message = f"Scaled {way} replica set {name} from {had} to {step.replicas}"
            self._tell(rollout.deployment, message)

    def _patch_replicaset(self, rollout: Rollout, rs: Object, patch: Object) -> None:
        about = rs["metadata"]
        unchanged = {"resourceVersion": about["resourceVersion"]}
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **unchanged}}
        rollout.put(self._client.patch(REPLICASETS, about["name"], about["namespace"], patch))

    def _tell(self, deployment: Object, message: str) -> None:
        self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    def _write_status(self, rollout: Rollout, *, is_moving: bool) -> float | None:
        """`is_moving`: whether to judge the progress, or only to count."""
        deployment, new, now = rollout.deployment, rollout.new, self._clock.now()
        status = progress.with_counts(deployment, new, rollout.owned, now)
        progress.note_pause(deployment, status, now)
        if new is not None and is_moving:
            name, is_created = new["metadata"]["name"], rollout.is_new_created
            progress.note_new_replicaset(deployment, status, name, now, is_created=is_created)
        if is_moving:
            progress.note_progress(deployment, new, rollout.owned, status, now)
        is_urgent = progress.conditions_differ(deployment.get("status") or {}, status)
        again_s = self._status.write(
            rollout.key, deployment, status, annotations=_revision(new), is_urgent=is_urgent
        )
        if again_s is not None:
            return again_s
        return progress.seconds_until_deadline(deployment, status, now)

    def picture(self, key: str) -> Picture:
        """What a debugger shows of a Deployment."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return Picture(None)
        owned = controlled_by(self._replicasets, deployment["metadata"]["uid"])
        return pictures.of_deployment(deployment, owned)

    # --- what wakes it --------------------------------------------------------------------------

    def _enqueue(self, deployment: Object) -> None:
        self._loop.add(meta.key_of(deployment))

    def _on_replicaset(self, rs: Object) -> None:
        if meta.controller_of(rs) is not None:
            self._enqueue_owner(rs)
            return
        labels = rs["metadata"].get("labels") or {}
        for deployment in self._deployments.list(rs["metadata"]["namespace"]):
            selector = selectors.from_dict(deployment["spec"]["selector"])
            if selector and selector.matches(labels):
                self._enqueue(deployment)

    def _on_replicaset_update(self, old: Object, new: Object) -> None:
        if meta.controller_of(old) != meta.controller_of(new):
            self._enqueue_owner(old)
        self._on_replicaset(new)

    def _enqueue_owner(self, rs: Object) -> None:
        deployment = self._deployment_of(rs)
        if deployment is not None:
            self._enqueue(deployment)

    def _deployment_of(self, rs: Object) -> Object | None:
        reference = meta.controller_of(rs)
        if reference is None or reference["kind"] != "Deployment":
            return None
        found = self._deployments.get(f"{rs['metadata']['namespace']}/{reference['name']}")
        return found if found and found["metadata"]["uid"] == reference["uid"] else None

    def _on_pod_update(self, old: Object, new: Object) -> None:
        if _has_ended(new) and not _has_ended(old):
            self._on_pod_end(new)

    def _on_pod_end(self, pod: Object) -> None:
        """A Deployment that recreates waits for the last Pod to end."""
        reference = meta.controller_of(pod)
        if reference is None or reference["kind"] != "ReplicaSet":
            return
        rs = self._replicasets.get(f"{pod['metadata']['namespace']}/{reference['name']}")
        deployment = self._deployment_of(rs) if rs else None
        if deployment is not None and not plan.is_rolling(deployment):
            self._enqueue(deployment)


def _revision(new: Object | None) -> Object:
    """A Deployment shows its new ReplicaSet's revision."""
    found = (new["metadata"].get("annotations") or {}).get(plan.REVISION) if new else None
    return {plan.REVISION: found} if found else {}


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
