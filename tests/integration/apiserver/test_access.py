"""Who may do what, and what strangers are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.apiserver.plain_http import Api, a_config_map, a_new_pod
from tests.support.api_server import ApiServerProcess


@pytest.fixture
def node(server: ApiServerProcess) -> Iterator[Api]:
    """As system:node:node-1."""
    with Api(server, "node-node-1") as api:
        yield api


@pytest.fixture
def stranger(server: ApiServerProcess) -> Iterator[Api]:
    with Api(server, None) as api:
        yield api


def test_a_stranger_learns_only_health_and_version(stranger: Api) -> None:
    assert stranger.get("/healthz").raw == b"ok"
    assert stranger.get("/version/").json["minor"] == "32"
    for path in ("/api/v1/pods", "/api", "/apis", "/openapi/v3", "/metrics", "/api/v1"):
        refused = stranger.get(path)
        assert (refused.code, refused.reason) == (401, "Unauthorized")


def test_a_node_writes_itself_alone(node: Api) -> None:
    made = node.post(
        "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    )
    assert made.code in (201, 409)
    other = node.post(
        "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-2"}}
    )
    assert other.code == 403
    assert node.patch("/api/v1/nodes/node-1/status", {"status": {"phase": "Running"}}).code == 200
    assert node.patch("/api/v1/nodes/node-2/status", {"status": {}}).code == 403


def test_a_node_sees_only_its_own_pods(api: Api, node: Api, ns: str) -> None:
    for name, place in (("mine", "node-1"), ("other", "node-2")):
        api.post(f"{ns}/pods", a_new_pod(name, nodeName=place))
    assert node.get(f"{ns}/pods/mine").code == 200
    assert node.get(f"{ns}/pods/other").code == 403
    assert node.patch(f"{ns}/pods/mine/status", {"status": {"phase": "Running"}}).code == 200
    assert node.patch(f"{ns}/pods/other/status", {"status": {"phase": "Running"}}).code == 403
    assert node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1").code == 200
    refused = node.get("/api/v1/pods")
    assert refused.message == (
        'pods is forbidden: User "system:node:node-1" cannot list resource "pods" in API group '
        '"" at the '
        "cluster scope"
    )


def test_a_node_reads_what_its_pods_refer_to(api: Api, node: Api, ns: str) -> None:
    for name in ("wanted", "private"):
        api.post(f"{ns}/configmaps", a_config_map(name))
    volumes = [{"name": "v", "configMap": {"name": "wanted"}}]
    api.post(f"{ns}/pods", a_new_pod("reader", nodeName="node-1", volumes=volumes))
    assert node.get(f"{ns}/configmaps/wanted").code == 200
    assert node.get(f"{ns}/configmaps/private").code == 403


def test_the_scheduler_binds_and_reads_no_secrets(
    server: ApiServerProcess, api: Api, ns: str
) -> None:
    api.post(f"{ns}/pods", a_new_pod())
    binding = {"target": {"kind": "Node", "name": "node-1"}, "metadata": {"name": "web"}}
    with Api(server, "scheduler") as scheduler:
        assert scheduler.post(f"{ns}/pods/web/binding", binding).code == 201
        assert scheduler.get("/api/v1/secrets").code == 403
        assert scheduler.post(f"{ns}/configmaps", a_config_map()).code == 403


def test_can_i_and_whoami(api: Api, node: Api) -> None:
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    told = node.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who).json
    assert told["status"]["userInfo"]["username"] == "system:node:node-1"
    ask = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "update", "resource": "pods", "namespace": "x"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert [who.post(path, ask).json["status"]["allowed"] for who in (api, node)] == [True, False]


def login_path(api: Api) -> str:
    link: str = api.post("/ui/login-links", {}).json["url"]
    return link.split(str(api.server.port), 1)[1]


def test_a_login_link_works_once_and_its_cookie_only_lets_one_read(
    api: Api, stranger: Api, ns: str
) -> None:
    path = login_path(api)
    entered = stranger.get(path)
    assert entered.code == 303
    cookie = entered.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=Strict"))
    session = cookie.split(";")[0]
    assert stranger.get(f"{ns}/configmaps", Cookie=session).code == 200
    assert stranger.call("POST", f"{ns}/configmaps", a_config_map(), Cookie=session).code == 403
    assert stranger.get(f"{ns}/pods/x/exec?command=sh", Cookie=session).code == 403
    assert stranger.get(f"{ns}/configmaps", Cookie=session + "0").code == 401
    assert stranger.get(path).code == 403


def test_a_session_writes_with_its_write_key_and_from_its_own_origin_alone(
    api: Api, stranger: Api, ns: str
) -> None:
    entered = stranger.get(login_path(api))
    session = entered.headers["Set-Cookie"].split(";")[0]
    key = entered.headers["Location"].partition("#key=")[2]
    here = f"https://127.0.0.1:{api.server.port}"

    def post(**headers: str) -> int:
        return stranger.call("POST", f"{ns}/configmaps", a_config_map(), **headers).code

    assert post(Cookie=session, **{"X-Podium-Key": "0" * 64}) == 403
    assert post(Cookie=session, Origin="https://127.0.0.1:9", **{"X-Podium-Key": key}) == 403
    assert post(**{"X-Podium-Key": key}) == 401
    assert post(Cookie=session, Origin=here, **{"X-Podium-Key": key}) == 201


def test_a_terminal_needs_the_write_key_among_its_protocols(
    api: Api, stranger: Api, ns: str
) -> None:
    entered = stranger.get(login_path(api))
    session = entered.headers["Set-Cookie"].split(";")[0]
    key = entered.headers["Location"].partition("#key=")[2]

    def upgrade(protocols: str) -> int:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Cookie": session}
        headers["Sec-WebSocket-Protocol"] = protocols
        return stranger.get(f"{ns}/pods/x/exec?command=sh", **headers).code

    assert upgrade("v5.channel.k8s.io") == 403
    assert upgrade(f"v5.channel.k8s.io, podium.key.{key}") == 404  # there is no such Pod
