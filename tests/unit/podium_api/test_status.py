"""Refusals read as Kubernetes' do."""

from __future__ import annotations

from podium.api import status
from podium.api.scheme import resource
from podium.api.status import Cause

PODS, DEPLOYMENTS = resource("pods"), resource("deploy")


def test_not_found_names_the_object() -> None:
    body = status.not_found(DEPLOYMENTS, "web")
    assert body["message"] == 'deployments.apps "web" not found'
    assert body["details"] == {"name": "web", "group": "apps", "kind": "deployments"}
    assert (body["code"], body["reason"], body["status"]) == (404, "NotFound", "Failure")


def test_already_exists_and_conflict_name_the_object() -> None:
    assert status.already_exists(PODS, "web")["message"] == 'pods "web" already exists'
    assert status.conflict(PODS, "web")["message"] == (
        'Operation cannot be fulfilled on pods "web": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )


def test_one_cause_stands_alone_and_several_in_brackets() -> None:
    one, two = Cause("spec.a", "Required value"), Cause("spec.b", "Forbidden: no")
    alone = status.invalid(DEPLOYMENTS, "web", [one])
    assert alone["message"] == 'Deployment.apps "web" is invalid: spec.a: Required value'
    both = status.invalid(PODS, "web", [one, two])
    assert (
        both["message"] == 'Pod "web" is invalid: [spec.a: Required value, spec.b: Forbidden: no]'
    )
    assert [c["field"] for c in both["details"]["causes"]] == ["spec.a", "spec.b"]
    assert both["code"] == 422


def test_a_deletion_answers_with_what_is_gone() -> None:
    body = status.success(DEPLOYMENTS, "web", "u-1")
    assert body["status"] == "Success"
    assert body["details"] == {"name": "web", "group": "apps", "kind": "deployments", "uid": "u-1"}


def test_a_revision_that_is_not_there_yet_can_be_retried() -> None:
    body = status.too_large_resource_version(9, 5)
    assert (body["code"], body["reason"]) == (504, "Timeout")
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
