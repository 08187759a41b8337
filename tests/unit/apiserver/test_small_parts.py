"""The API server's pure functions: names, classes, headers, paths, bytes."""

from __future__ import annotations

import pytest

from apiserver import wire
from apiserver.errors import ApiError
from apiserver.http_server import BadRequestLine, parse_head
from apiserver.negotiation import Wanted, wanted
from apiserver.request_info import User, parse
from apiserver.sessions import Sessions
from apiserver.strategies import generated_name, qos_class

ADMIN = User("admin")


def a_container(
    requests: dict[str, str] | None = None, limits: dict[str, str] | None = None
) -> dict:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([a_container()], "BestEffort"),
        ([a_container({"cpu": "1"})], "Burstable"),
        ([a_container({"cpu": "1"}, {"cpu": "1"})], "Burstable"),
        (
            [a_container({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"})],
            "Guaranteed",
        ),
        ([a_container(None, {"cpu": "1", "memory": "1Gi"}), a_container()], "Burstable"),
    ],
)
def test_a_pods_quality_of_service(containers: list[dict], expected: str) -> None:
    assert qos_class({"containers": containers}) == expected


def test_a_generated_name_fits_a_label() -> None:
    assert len(generated_name("x" * 100)) == 63
    assert generated_name("web-").startswith("web-")


def test_the_first_acceptable_form_is_chosen() -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert wanted(table) == Wanted("table")
    assert wanted("application/vnd.kubernetes.protobuf,application/json") == Wanted()
    assert wanted("application/json;as=Unknown;v=v1;g=meta.k8s.io, */*") == Wanted()
    with pytest.raises(ApiError, match="only the following media types are accepted"):
        wanted("application/vnd.kubernetes.protobuf")


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", "", ("list", "pods", None, None, None)),
        ("GET", "/api/v1/namespaces/a/pods", "watch=true", ("watch", "pods", "a", None, None)),
        ("GET", "/api/v1/namespaces/a", "", ("get", "namespaces", None, "a", None)),
        (
            "PUT",
            "/api/v1/namespaces/a/finalize",
            "",
            ("update", "namespaces", None, "a", "finalize"),
        ),
        (
            "POST",
            "/api/v1/namespaces/a/pods/p/binding",
            "",
            ("create", "pods", "a", "p", "binding"),
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments/",
            "",
            ("deletecollection", "deployments", "a", None, None),
        ),
    ],
)
def test_a_path_names_a_verb_and_a_resource(
    method: str, path: str, query: str, expected: tuple
) -> None:
    call = parse(method, path, query, ADMIN, {})
    assert (
        call.verb,
        call.resource.plural,
        call.namespace,
        call.name,
        call.subresource,
    ) == expected


def test_what_follows_a_proxy_is_kept() -> None:
    call = parse("GET", "/api/v1/nodes/n/proxy/images/load", "", ADMIN, {})
    assert (call.name, call.subresource, call.rest) == ("n", "proxy", "/images/load")


def test_a_revision_is_spliced_into_the_objects_own_place() -> None:
    obj = {"metadata": {"annotations": {"x": '"resourceVersion":""'}, "name": "n", "uid": "u"},
           "apiVersion": "v1", "kind": "K", "data": {"resourceVersion": ""}}  # fmt: skip
    body = wire.with_revision(wire.template(obj), 41)
    parsed = wire.parse(wire.at_revision(body, 41, 42))
    assert parsed["metadata"]["resourceVersion"] == "42"
    assert parsed["data"] == {"resourceVersion": ""}
    assert parsed["metadata"]["annotations"] == obj["metadata"]["annotations"]


def test_a_session_outlives_a_restart_but_not_another_cluster() -> None:
    sessions = Sessions(b"key")
    session = sessions.redeem(sessions.new_link_token())
    assert session is not None
    user = Sessions(b"key").user(session.cookie)
    assert user is not None
    assert user.is_read_only
    writer = Sessions(b"key").user(session.cookie, session.write_key)
    assert writer is not None
    assert not writer.is_read_only
    assert Sessions(b"other").user(session.cookie, session.write_key) is None


def test_a_request_head_is_read() -> None:
    environ = parse_head(
        b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nAccept: a\r\nAccept: b\r\nContent-Length: 3"
    )
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b", "x=1")
    assert (environ["HTTP_ACCEPT"], environ["CONTENT_LENGTH"]) == ("a,b", "3")
    for broken in (b"GET /", b"GET / HTTP/2", b"GET / HTTP/1.1\r\nbad header: x"):
        with pytest.raises(BadRequestLine):
            parse_head(broken)
