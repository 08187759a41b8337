"""The Deployment controller against a real API server; the test plays the kubelet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from controllers.deployment import DeploymentController
from controllers.deployment_plan import HASH_LABEL, REVISION, template_hash
from controllers.replicaset import ReplicaSetController
from podium.api.meta import condition, is_pod_ready
from podium.client.errors import ApiError
from tests.support.builders import a_deployment, a_replicaset, a_template
from tests.support.lab import Lab

Object = dict[str, Any]


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.start(DeploymentController, ReplicaSetController)
    return lab


@pytest.fixture
def kubelet(lab: Lab) -> Iterator[None]:
    """Makes every Pod ready and lets those that are ending end, in a thread."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: [_round(lab) for _ in iter(done.is_set, True)])
    thread.start()
    yield
    done.set()
    thread.join(10)


def _round(lab: Lab) -> None:
    try:
        lab.play_kubelet()
    except ApiError:
        return  # a Pod was deleted under our hands


def deploy(lab: Lab, **spec: Any) -> Object:
    return lab.create("deployments", a_deployment(namespace=lab.namespace, **spec))


def is_done(lab: Lab) -> bool:
    """As `kubectl rollout status` sees it."""
    found = lab.get("deployments")
    wanted, status = found["spec"]["replicas"], found["status"]
    is_seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    return is_seen and all(status.get(name, 0) == wanted for name in counts)


def set_image(lab: Lab, image: str) -> None:
    template = a_template(image=image)
    patch = {"spec": {"template": {"spec": {"containers": template["spec"]["containers"]}}}}
    lab.patch("deployments", "web", patch)


def replicasets(lab: Lab) -> dict[str, Object]:
    """By revision."""
    return {rs["metadata"]["annotations"][REVISION]: rs for rs in lab.items("rs")}


def reason(lab: Lab, type_: str) -> str | None:
    found = condition(lab.get("deployments"), type_)
    return found["reason"] if found else None


@pytest.mark.usefixtures("kubelet")
def test_a_deployment_becomes_available(lab: Lab) -> None:
    deploy(lab, replicas=3)
    lab.eventually(lambda: is_done(lab))
    found = lab.get("deployments")
    assert found["metadata"]["annotations"] == {REVISION: "1"}
    assert found["metadata"]["generation"] == 1
    progressing, available = condition(found, "Progressing"), condition(found, "Available")
    (rs,) = lab.items("rs")
    name = rs["metadata"]["name"]
    assert progressing is not None
    assert available is not None
    assert progressing["message"] == f'ReplicaSet "{name}" has successfully progressed.'
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert available["reason"] == "MinimumReplicasAvailable"
    lab.eventually(lambda: lab.events("ScalingReplicaSet"))
    assert lab.events("ScalingReplicaSet") == [f"Scaled up replica set {name} from 0 to 3"]
    assert all(HASH_LABEL in pod["metadata"]["labels"] for pod in lab.pods())


@pytest.mark.usefixtures("kubelet")
def test_a_rolling_update_never_has_fewer_than_allowed(lab: Lab) -> None:
    deploy(lab, replicas=4, max_surge=1, max_unavailable=1)
    lab.eventually(lambda: is_done(lab))
    set_image(lab, "second")
    seen = []
    while not is_done(lab):
        pods = lab.pods()
        seen.append((sum(map(is_pod_ready, pods)), len(pods)))
    assert min(ready for ready, _ in seen) >= 3
    assert max(count for _, count in seen) <= 5
    found = replicasets(lab)
    assert {revision: rs["spec"]["replicas"] for revision, rs in found.items()} == {"1": 0, "2": 4}


def test_a_rollout_that_cannot_work_stops_at_its_limits(lab: Lab) -> None:
    deploy(lab, replicas=4, max_surge=1, max_unavailable=1, progressDeadlineSeconds=2)
    lab.eventually(lambda: len(lab.pods()) == 4)
    lab.make_ready(*lab.pods())
    lab.eventually(lambda: is_done(lab))
    set_image(lab, "broken")
    lab.eventually(lambda: reason(lab, "Progressing") == "ProgressDeadlineExceeded")
    pods = lab.pods()
    assert (sum(map(is_pod_ready, pods)), len(pods)) == (3, 5)


@pytest.mark.usefixtures("kubelet")
def test_a_rollback_reuses_the_old_replicaset(lab: Lab) -> None:
    first = deploy(lab, replicas=1)
    lab.eventually(lambda: is_done(lab))
    before = replicasets(lab)["1"]["metadata"]["uid"]
    set_image(lab, "second")
    lab.eventually(lambda: is_done(lab) and "2" in replicasets(lab))
    template = [{"op": "replace", "path": "/spec/template", "value": first["spec"]["template"]}]
    lab.patch("deployments", "web", template, patch_type="json")
    lab.eventually(lambda: is_done(lab) and "3" in replicasets(lab))
    found = replicasets(lab)
    assert sorted(found) == ["2", "3"]
    assert found["3"]["metadata"]["uid"] == before


@pytest.mark.usefixtures("kubelet")
def test_recreate_ends_all_that_is_old_before_it_starts_what_is_new(lab: Lab) -> None:
    deploy(lab, replicas=2, strategy={"type": "Recreate"})
    lab.eventually(lambda: is_done(lab))
    old = {pod["metadata"]["uid"] for pod in lab.pods()}
    set_image(lab, "second")
    while not is_done(lab):
        there = {pod["metadata"]["uid"] for pod in lab.items("pods")}
        assert not (there & old and there - old)
    assert not {pod["metadata"]["uid"] for pod in lab.pods()} & old


@pytest.mark.usefixtures("kubelet")
def test_a_paused_deployment_scales_but_does_not_roll(lab: Lab) -> None:
    deploy(lab, replicas=1)
    lab.eventually(lambda: is_done(lab))
    lab.patch("deployments", "web", {"spec": {"paused": True}})
    lab.eventually(lambda: reason(lab, "Progressing") == "DeploymentPaused")
    set_image(lab, "second")
    lab.scale("deployments", 3)
    lab.eventually(lambda: lab.get("deployments")["status"].get("availableReplicas") == 3)
    assert len(lab.items("rs")) == 1
    lab.patch("deployments", "web", {"spec": {"paused": None}})
    lab.eventually(lambda: is_done(lab) and len(lab.items("rs")) == 2)


@pytest.mark.usefixtures("kubelet")
def test_scaling_up_and_down_makes_no_new_revision(lab: Lab) -> None:
    deploy(lab, replicas=1)
    for replicas in (4, 2, 0):
        lab.eventually(lambda: is_done(lab))
        lab.scale("deployments", replicas)
        lab.eventually(lambda count=replicas: len(lab.pods()) == count)
    lab.eventually(lambda: is_done(lab))
    assert sorted(replicasets(lab)) == ["1"]
    name = lab.items("rs")[0]["metadata"]["name"]
    lab.eventually(lambda: len(lab.events("ScalingReplicaSet")) == 4)
    assert f"Scaled down replica set {name} from 2 to 0" in lab.events("ScalingReplicaSet")


@pytest.mark.usefixtures("kubelet")
def test_history_beyond_the_limit_is_removed(lab: Lab) -> None:
    deploy(lab, replicas=1, revisionHistoryLimit=1)
    for revision in ("2", "3"):
        lab.eventually(lambda: is_done(lab))
        set_image(lab, f"image-{revision}")
        lab.eventually(lambda wanted=revision: wanted in replicasets(lab))
    lab.eventually(lambda: sorted(replicasets(lab)) == ["2", "3"])


def test_a_name_taken_by_another_template_is_avoided(lab: Lab) -> None:
    deploy(lab, replicas=0)
    lab.eventually(lambda: is_done(lab))
    wanted = lab.get("deployments")["spec"]["template"]
    wanted["spec"]["containers"][0]["image"] = "second:1"
    taken = f"web-{template_hash(wanted, None)}"
    lab.create("rs", a_replicaset(taken, 0, lab.namespace, labels={"app": "stranger"}))
    set_image(lab, "second:1")
    lab.eventually(lambda: lab.get("deployments")["status"].get("collisionCount") == 1)
    another = f"web-{template_hash(wanted, 1)}"
    lab.eventually(lambda: another in _owned(lab))
    assert taken not in _owned(lab)


def _owned(lab: Lab) -> set[str]:
    """The names of the ReplicaSets that belong to somebody."""
    return {
        rs["metadata"]["name"] for rs in lab.items("rs") if rs["metadata"].get("ownerReferences")
    }


def test_a_second_pass_writes_nothing(lab: Lab) -> None:
    deploy(lab, replicas=2)
    lab.eventually(lambda: len(lab.pods()) == 2)
    lab.make_ready(*lab.pods())
    lab.eventually(lambda: is_done(lab))
    lab.eventually(lambda: _is_settled(lab))
    written = len(lab.identity.writes)
    lab.controllers[0].reconcile(f"{lab.namespace}/web")
    assert lab.identity.writes[written:] == []


def _is_settled(lab: Lab) -> bool:
    cached = lab.informers.informer("deployments").get(f"{lab.namespace}/web")
    return cached == lab.get("deployments")


def test_few_writes_bring_up_a_deployment(lab: Lab) -> None:
    deploy(lab, replicas=1)
    lab.make_ready(*lab.eventually(lab.pods))
    lab.eventually(lambda: is_done(lab))
    lab.eventually(lambda: _is_settled(lab))
    about = [w.split()[:2] for w in lab.identity.writes]
    assert about.count(["create", "replicasets.apps"]) == 1
    assert about.count(["create", "pods"]) == 1
    # Status writes within 50 ms are one; how many there are beyond that is up to the machine.
    assert len(about) <= 10, lab.identity.writes
