"""What the page's picture is told of an object."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.sessions import KEY_PROTOCOL, take_write_key
from apiserver.ui.picture import KINDS, record
from tests.support.builders import a_deployment, a_meta, a_node, a_pod, a_replicaset


def test_a_pod_says_where_it_is_how_it_is_and_whose() -> None:
    owner = a_replicaset("web")
    told = record("pods", a_pod("web-1", cpu="250m", node="node-1", ready=True, owner=owner))
    assert (told["node"], told["ready"], told["cpu"]) == ("node-1", True, 250)
    assert told["owner"] == owner["metadata"]["uid"]


def test_a_deployment_counts_its_replicas() -> None:
    deployment = a_deployment("web", replicas=3)
    deployment["status"] = {"readyReplicas": 2}
    told = record("deployments.apps", deployment)
    assert (told["replicas"], told["ready"], told["available"]) == (3, 2, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_nothing_but_its_name_is_drawn(kind: str) -> None:
    told = record(kind, {"metadata": a_meta("bare")})
    assert told["name"] == "bare"


def test_a_strange_object_does_not_take_the_picture_from_everybody() -> None:
    node = a_node("odd")
    node["status"] = {"allocatable": {"cpu": "many", "pods": []}, "conditions": [{"no": "type"}]}
    told = record("nodes", node)
    assert (told["name"], told["cpu"], told["ready"]) == ("odd", 0, False)


def test_a_write_key_goes_no_further_than_the_server() -> None:
    protocols = f"v5.channel.k8s.io, {KEY_PROTOCOL}abc"
    environ: dict[str, Any] = {"HTTP_SEC_WEBSOCKET_PROTOCOL": protocols, "HTTP_HOST": "h:1"}
    assert take_write_key(environ) == "abc"
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "v5.channel.k8s.io"
    assert take_write_key(environ) == "abc"
    assert (
        take_write_key(
            {"HTTP_X_PODIUM_KEY": "abc", "HTTP_HOST": "h:1", "HTTP_ORIGIN": "https://h:2"}
        )
        == ""
    )
