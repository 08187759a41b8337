"""Protobuf bodies as kubectl 1.32 sends them, captured from it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api import protobuf
from podium.api.strict import find_problems

# kubectl create deployment web --image=nginx:1.27 --replicas=3 --port=80 -- sleep 1d
DEPLOYMENT = bytes.fromhex(
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412c8010a1f0a0377656212001a0022"
    "002a003200380042005a0a0a0361707012037765621296010803120c0a0a0a0361707012037765621a7c"
    "0a1c0a0012001a0022002a003200380042005a0a0a036170701203776562125c123e0a056e67696e7812"
    "0a6e67696e783a312e32371a05736c6565701a0231642a00320a0a001000185022002a0042006a007200"
    "800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c201002202"
    "0a00280038001a0c0800100018002000280038001a002200"
)
# kubectl create configmap c --from-literal=a=1 --from-literal=b=zwei
CONFIG_MAP = bytes.fromhex(
    "6b3873000a0f0a0276311209436f6e6669674d617012260a110a016312001a0022002a00320038004200"
    "12060a016112013112090a016212047a7765691a002200"
)
# kubectl create configmap b --from-file=bin.dat
BINARY = bytes.fromhex(
    "6b3873000a0f0a0276311209436f6e6669674d617012250a110a016212001a0022002a00320038004200"
    "1a100a0762696e2e6461741205ff0062696e1a002200"
)
# kubectl create secret generic s --from-literal=password=geheim
SECRET = bytes.fromhex(
    "6b3873000a0c0a027631120653656372657412290a110a017312001a0022002a0032003800420012120a"
    "0870617373776f7264120667656865696d1a001a002200"
)
# kubectl create namespace team
NAMESPACE = bytes.fromhex(
    "6b3873000a0f0a02763112094e616d657370616365121c0a140a047465616d12001a0022002a00320038"
    "00420012001a020a001a002200"
)
# kubectl create serviceaccount robot
ACCOUNT = bytes.fromhex(
    "6b3873000a140a027631120e536572766963654163636f756e7412170a150a05726f626f7412001a0022"
    "002a003200380042001a002200"
)
# kubectl create pdb p --selector=app=a --min-available=50%
BUDGET = bytes.fromhex(
    "6b3873000a200a09706f6c6963792f76311213506f6444697372757074696f6e42756467657412380a11"
    "0a017012001a0022002a0032003800420012170a09080110001a03353025120a0a080a03617070120161"
    "1a0a080018002000280030001a002200"
)
# kubectl create quota q --hard=cpu=1,memory=1Gi
QUOTA = bytes.fromhex(
    "6b3873000a130a027631120d5265736f7572636551756f746112340a110a017112001a0022002a003200"
    "38004200121d0a0a0a0363707512030a01310a0f0a066d656d6f727912050a033147691a001a002200"
)
# kubectl create token robot --duration=1h
TOKEN = bytes.fromhex(
    "6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e526571"
    "75657374121d0a100a0012001a0022002a00320038004200120320901c1a040a0012001a002200"
)
# kubectl auth can-i get pods
REVIEW = bytes.fromhex(
    "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a65"
    "6374416363657373526576696577123c0a100a0012001a0022002a00320038004200121e0a1c0a076465"
    "6661756c7412036765741a0022002a04706f647332003a001a08080012001a0020001a002200"
)

BODIES = [DEPLOYMENT, CONFIG_MAP, BINARY, SECRET, NAMESPACE, ACCOUNT, BUDGET, QUOTA, TOKEN, REVIEW]


def test_create_deployment_is_read() -> None:
    container = {
        "name": "nginx",
        "image": "nginx:1.27",
        "command": ["sleep", "1d"],
        "ports": [{"containerPort": 80}],
    }
    assert protobuf.decode(DEPLOYMENT) == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container]},
            },
        },
    }


def test_config_maps_and_secrets_are_read() -> None:
    assert protobuf.decode(CONFIG_MAP)["data"] == {"a": "1", "b": "zwei"}
    assert protobuf.decode(BINARY)["binaryData"] == {"bin.dat": "/wBiaW4="}
    assert protobuf.decode(SECRET)["data"] == {"password": "Z2VoZWlt"}


def test_an_object_that_is_only_a_name_is_read() -> None:
    assert protobuf.decode(NAMESPACE)["metadata"] == {"name": "team"}
    assert protobuf.decode(ACCOUNT) == {
        "kind": "ServiceAccount",
        "apiVersion": "v1",
        "metadata": {"name": "robot"},
    }


def test_quantities_and_int_or_strings_are_read() -> None:
    assert protobuf.decode(QUOTA)["spec"] == {"hard": {"cpu": "1", "memory": "1Gi"}}
    assert protobuf.decode(BUDGET)["spec"]["minAvailable"] == "50%"


def test_a_kind_of_two_groups_is_read_as_the_one_it_says() -> None:
    assert protobuf.decode(TOKEN)["spec"]["expirationSeconds"] == 3600


def test_reviews_are_read() -> None:
    found = protobuf.decode(REVIEW)["spec"]["resourceAttributes"]
    assert found == {"namespace": "default", "verb": "get", "resource": "pods"}


@pytest.mark.parametrize("body", BODIES)
def test_what_was_read_is_what_the_schema_says(body: bytes) -> None:
    found = protobuf.decode(body)
    kind = "authentication.TokenRequest" if body == TOKEN else found["kind"]
    assert find_problems(found, kind) == []


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s", b"k8s\x00\xff", DEPLOYMENT[:-9]])
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(protobuf.ProtobufError):
        protobuf.decode(body)


@given(st.sampled_from(BODIES), st.integers(4, 200), st.binary(min_size=1, max_size=3))
def test_a_damaged_body_is_read_or_refused_and_nothing_else(
    body: bytes, at: int, damage: bytes
) -> None:
    with contextlib.suppress(protobuf.ProtobufError):
        assert protobuf.decode(body[:at] + damage + body[at + len(damage) :])
