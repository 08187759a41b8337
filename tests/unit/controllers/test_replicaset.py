"""The ReplicaSet controller against a real API server; the test plays the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.replicaset import ReplicaSetController
from podium.api.meta import controller_of, now
from podium.client.errors import Forbidden
from tests.support.builders import a_pod, a_replicaset
from tests.support.lab import Lab


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.start(ReplicaSetController)
    return lab


def status(lab: Lab) -> dict[str, Any]:
    return dict(lab.get("rs")["status"])


def test_a_replicaset_makes_its_pods_and_counts_them(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=3, namespace=lab.namespace))
    lab.eventually(lambda: status(lab).get("replicas") == 3)
    lab.make_ready(*lab.pods())
    lab.eventually(lambda: status(lab).get("availableReplicas") == 3)
    assert status(lab) == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "observedGeneration": 1,
    }
    lab.eventually(lambda: len(lab.events("SuccessfulCreate")) == 3)


def test_a_replicaset_replaces_a_pod_that_was_deleted(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=2, namespace=lab.namespace))
    first, second = lab.eventually(lambda: len(lab.pods()) == 2 and lab.pods())
    lab.remove(first)
    names = {pod["metadata"]["name"] for pod in (first, second)}
    lab.eventually(lambda: len(lab.pods()) == 2)
    assert len({pod["metadata"]["name"] for pod in lab.pods()} - names) == 1


def test_a_replicaset_that_shrinks_deletes_what_is_not_ready(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=3, namespace=lab.namespace))
    pods = lab.eventually(lambda: len(lab.pods()) == 3 and lab.pods())
    lab.make_ready(pods[1])
    lab.eventually(lambda: status(lab).get("readyReplicas") == 1)
    lab.scale("rs", 1)
    lab.eventually(lambda: len(lab.pods()) == 1)
    assert lab.pods()[0]["metadata"]["name"] == pods[1]["metadata"]["name"]
    lab.eventually(lambda: len(lab.events("SuccessfulDelete")) == 2)


def test_a_matching_orphan_is_adopted_and_one_that_no_longer_matches_released(lab: Lab) -> None:
    orphan = lab.create("pods", a_pod("orphan", lab.namespace))
    made = lab.create("rs", a_replicaset(replicas=2, namespace=lab.namespace))
    lab.eventually(lambda: len(lab.pods()) == 2)
    owner = controller_of(lab.get("pods", "orphan")) or {}
    assert owner["uid"] == made["metadata"]["uid"]
    lab.patch("pods", "orphan", {"metadata": {"labels": {"app": "quarantine"}}})
    lab.eventually(lambda: controller_of(lab.get("pods", "orphan")) is None)
    lab.eventually(lambda: len(lab.pods()) == 3)
    assert lab.get("pods", "orphan")["metadata"]["uid"] == orphan["metadata"]["uid"]


def test_a_pod_of_another_controller_is_left_alone(lab: Lab) -> None:
    stranger = a_replicaset("stranger", namespace=lab.namespace)
    lab.create("pods", a_pod("foreign", lab.namespace, owner=stranger))
    lab.create("rs", a_replicaset(replicas=1, namespace=lab.namespace))
    lab.eventually(lambda: status(lab).get("replicas") == 1)
    assert len(lab.pods()) == 2


def test_min_ready_seconds_delay_availability(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=1, namespace=lab.namespace, minReadySeconds=1))
    lab.make_ready(*lab.eventually(lab.pods), since=now())
    lab.eventually(lambda: status(lab).get("readyReplicas") == 1)
    lab.eventually(lambda: status(lab).get("availableReplicas") == 1)


def test_pods_that_cannot_be_created_are_a_condition_and_an_event(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=2, namespace=lab.namespace))
    lab.eventually(lambda: len(lab.pods()) == 2)
    lab.identity.refusal = Forbidden(403, "Forbidden", "no more of these")
    lab.scale("rs", 9)
    (condition,) = lab.eventually(lambda: status(lab).get("conditions"))
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
    assert condition["message"] == "no more of these"
    lab.identity.refusal = None
    lab.eventually(lambda: len(lab.pods()) == 9 and "conditions" not in status(lab))
    lab.eventually(lambda: lab.events("FailedCreate") == ["Error creating: no more of these"])


def test_a_second_pass_writes_nothing(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=3, namespace=lab.namespace))
    pods = lab.eventually(lambda: len(lab.pods()) == 3 and lab.pods())
    lab.make_ready(*pods)
    lab.eventually(lambda: status(lab).get("availableReplicas") == 3)
    lab.eventually(lambda: _is_settled(lab))
    written = len(lab.identity.writes)
    assert lab.controllers[0].reconcile(f"{lab.namespace}/web") is None
    assert lab.identity.writes[written:] == []


def _is_settled(lab: Lab) -> bool:
    cached = lab.informers.informer("replicasets").get(f"{lab.namespace}/web")
    return cached == lab.get("replicasets")


def test_a_hundred_pods_take_a_hundred_creates_and_few_status_writes(lab: Lab) -> None:
    lab.create("rs", a_replicaset(replicas=100, namespace=lab.namespace))
    lab.eventually(lambda: status(lab).get("replicas") == 100)
    creates = [w for w in lab.identity.writes if w.startswith("create pods")]
    assert len(creates) == 100
    assert len(lab.identity.writes) - 100 <= 3
