"""What a namespace that ends says of itself."""

from __future__ import annotations

from typing import Any

from controllers.namespace import Remains, conditions, kinds_to_empty
from podium.api import scheme
from tests.support.builders import a_pod

Object = dict[str, Any]


def told(remains: Remains) -> dict[str, tuple[str, str, str]]:
    return {type_: (value, reason, text) for type_, value, reason, text in conditions(remains)}


def test_an_empty_namespace_waits_for_nothing() -> None:
    assert {value for value, _, _ in told(Remains()).values()} == {"False"}


def test_what_is_left_is_counted_by_kind_and_by_finalizer() -> None:
    remains = Remains()
    held = a_pod("a", meta={"finalizers": ["example.com/hold"]})
    remains.count(scheme.resource("pods"), [held, a_pod("b")])
    found = told(remains)
    assert found["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: pods. has 2 resource instances",
    )
    assert found["NamespaceFinalizersRemaining"][2] == (
        "Some content in the namespace has finalizers remaining: "
        "example.com/hold in 1 resource instances"
    )


def test_a_failure_is_told_and_keeps_the_namespace() -> None:
    remains = Remains(errors=["pods: no"])
    assert not remains.is_empty
    assert told(remains)["NamespaceDeletionContentFailure"][:2] == ("True", "ContentDeletionFailed")


def test_makers_go_before_pods_and_events_last() -> None:
    order = [resource.key for resource in kinds_to_empty()]
    assert order.index("replicasets.apps") < order.index("pods") < order.index("configmaps")
    assert order[-1] == "events"
    assert "namespaces" not in order
