"""What a Pod gets of its ServiceAccount: admission's part in pulling images."""

from __future__ import annotations

from tests.integration.apiserver.plain_http import Api, a_new_pod

REGCRED = [{"name": "regcred"}]


def an_account(name: str) -> dict[str, object]:
    about = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    return {**about, "imagePullSecrets": REGCRED}


def test_a_pod_without_pull_secrets_gets_those_of_its_account(api: Api, ns: str) -> None:
    api.post(f"{ns}/serviceaccounts", an_account("puller"))
    pod = a_new_pod()
    pod["spec"]["serviceAccountName"] = "puller"
    assert api.post(f"{ns}/pods", pod).json["spec"]["imagePullSecrets"] == REGCRED


def test_a_pod_with_pull_secrets_of_its_own_keeps_them(api: Api, ns: str) -> None:
    api.post(f"{ns}/serviceaccounts", an_account("puller"))
    pod = a_new_pod()
    pod["spec"] |= {"serviceAccountName": "puller", "imagePullSecrets": [{"name": "own"}]}
    assert api.post(f"{ns}/pods", pod).json["spec"]["imagePullSecrets"] == [{"name": "own"}]
