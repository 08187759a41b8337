"""A Pod as its ServiceAccount: the token it finds, what it may do with it, and when that ends."""

from __future__ import annotations

import base64
import json
import sysconfig
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper

Object = dict[str, Any]
AT = "/var/run/secrets/kubernetes.io/serviceaccount"
PROGRAM = """
import warnings; warnings.simplefilter("ignore")
from kubernetes import client, config
config.load_incluster_config()
print(client.VersionApi().get_code().git_version)
me = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
print(me.status.user_info.username)
try:
    client.CoreV1Api().list_namespaced_pod("default")
except client.ApiException as refused:
    print(refused.status)
"""


def a_client(name: str = "web", **spec: Any) -> Object:
    """A sleeper that has the Python of the tests."""
    packages = sysconfig.get_path("purelib")
    pod = a_sleeper(
        name,
        env=[{"name": "PYTHONPATH", "value": "/packages"}],
        volumeMounts=[{"name": "packages", "mountPath": "/packages", "readOnly": True}],
    )
    pod["spec"]["volumes"] = [{"name": "packages", "hostPath": {"path": packages}}]
    pod["spec"] |= spec
    return pod


def claims_of(token: str) -> Object:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_the_official_client_works_inside_a_pod_and_may_do_nothing_more(ns: Namespaced) -> None:
    ns.apply(a_client(), a_client("hosted", hostNetwork=True))
    for pod in ("web", "hosted"):
        ns.wait(f"pod/{pod}", "condition=Ready")
        version, user, refused = ns.sh(pod, f"python3 -c '{PROGRAM}'").splitlines()
        assert version.startswith("v1.32")
        assert user == f"system:serviceaccount:{ns.name}:default"
        assert refused == "403"


def test_a_token_is_bound_to_its_pod_and_kept_in_memory_alone(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    claims = claims_of(ns.sh("web", f"cat {AT}/token"))
    about = ns.get("pod", "web")["metadata"]
    assert claims["kubernetes.io"]["pod"] == {"name": "web", "uid": about["uid"]}
    assert claims["sub"] == f"system:serviceaccount:{ns.name}:default"
    assert ns.sh("web", f"cat {AT}/namespace") == ns.name
    assert "BEGIN CERTIFICATE" in ns.sh("web", f"cat {AT}/ca.crt")
    mounted = ns.sh("web", "grep serviceaccount /proc/self/mountinfo").split()
    assert "tmpfs" in mounted
    assert "ro" in mounted[5].split(",")


def test_a_token_ends_with_its_pod(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    token = ns.sh("web", f"cat {AT}/token")
    whoami = ("auth", "whoami", "-o", "name", f"--token={token}", "--kubeconfig=/dev/null")
    server = ns.cluster.server
    args = (
        f"--server={server}",
        f"--certificate-authority={ns.cluster.data_dir}/pki/ca.crt",
        *whoami,
    )
    assert ns.kubectl(*args).returncode == 0
    ns.kubectl("delete", "pod", "web", "--grace-period=0", "--force")
    assert "Unauthorized" in ns.kubectl(*args, check=False).stderr


def test_kubectl_creates_a_token_that_another_audience_does_not_take(ns: Namespaced) -> None:
    ns.kubectl("create", "serviceaccount", "robot")
    token = ns.out("create", "token", "robot", "--audience=vault", "--duration=20m").strip()
    claims = claims_of(token)
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["vault"], 1200)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    for audience, is_taken in (("vault", True), ("https://kubernetes.default.svc", False)):
        spec = {"token": token, "audiences": [audience]}
        asked = json.dumps(review | {"spec": spec})
        answer = json.loads(ns.out("create", "-f", "-", "-o", "json", stdin=asked))
        assert answer["status"].get("authenticated", False) is is_taken
    short = ns.kubectl("create", "token", "robot", "--duration=1m", check=False)
    assert "may not specify a duration less than 10 minutes" in short.stderr


def test_who_wants_no_token_gets_none(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["spec"]["automountServiceAccountToken"] = False
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", f"ls {AT} 2>&1 || true").endswith("No such file or directory")
    assert "volumes" not in ns.get("pod", "web")["spec"]
