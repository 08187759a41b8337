"""Which volume a claim gets."""

from __future__ import annotations

from typing import Any

import pytest

from controllers import volume_matching as matching
from controllers.local_path_provisioner import refusal

Object = dict[str, Any]


def a_claim(size: str = "5Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), **spec: Any) -> Object:
    wanted = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}}
    about = {"name": "data", "namespace": "default", "uid": "claim-uid", "resourceVersion": "7"}
    return {"metadata": about, "spec": wanted | spec}


def a_volume(name: str, size: str = "5Gi", phase: str = "Available", **spec: Any) -> Object:
    offered = {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}}
    return {"metadata": {"name": name}, "spec": offered | spec, "status": {"phase": phase}}


def match(claim: Object, *volumes: Object, **options: Any) -> str | None:
    found = matching.best_match(claim, volumes, **options)
    return None if found is None else found["metadata"]["name"]


def on_node(name: str) -> Object:
    term = {"matchExpressions": [{"key": "host", "operator": "In", "values": [name]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def test_the_smallest_volume_that_is_large_enough_wins() -> None:
    volumes = (a_volume("large", "20Gi"), a_volume("small", "1Gi"), a_volume("fits", "8Gi"))
    assert match(a_claim(), *volumes) == "fits"


@pytest.mark.parametrize(
    ("claim", "volume", "why"),
    [
        (a_claim("6Gi"), a_volume("v"), "requested PV is too small"),
        (a_claim(modes=("ReadWriteMany",)), a_volume("v"), "incompatible accessMode"),
        (a_claim(storageClassName="fast"), a_volume("v"), "storageClassName does not match"),
        (a_claim(volumeMode="Block"), a_volume("v"), "incompatible volumeMode"),
    ],
)
def test_a_volume_that_will_not_do_is_never_given(claim: Object, volume: Object, why: str) -> None:
    assert matching.mismatch(volume, claim) == why
    assert match(claim, volume) is None


def test_a_volume_kept_for_a_claim_is_taken_even_while_the_claim_waits_for_a_consumer() -> None:
    kept = a_volume("kept", "50Gi", claimRef={"namespace": "default", "name": "data"})
    assert match(a_claim(), a_volume("small"), kept, is_delayed=True) == "kept"
    assert match(a_claim(), a_volume("small"), is_delayed=True) is None


def test_a_volume_of_another_claim_of_that_name_is_not_taken() -> None:
    other = {"namespace": "default", "name": "data", "uid": "of-an-older-one"}
    assert match(a_claim(), a_volume("v", claimRef=other)) is None


def test_released_and_ending_volumes_are_not_given_again() -> None:
    ending = a_volume("ending")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert match(a_claim(), a_volume("released", phase="Released"), ending) is None


def test_a_selector_chooses_by_the_volumes_labels() -> None:
    gold = a_volume("gold")
    gold["metadata"]["labels"] = {"tier": "gold"}
    claim = a_claim(selector={"matchLabels": {"tier": "gold"}})
    assert match(claim, a_volume("plain", "5Gi"), gold) == "gold"


def test_on_a_node_only_what_reaches_it_counts() -> None:
    here, there = a_volume("here", nodeAffinity=on_node("a")), a_volume("there", "5Gi")
    there["spec"]["nodeAffinity"] = on_node("b")
    assert match(a_claim(), there, here, node=("a", {"host": "a"})) == "here"
    assert match(a_claim(), there, node=("a", {"host": "a"})) is None


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        (a_claim(modes=("ReadWriteMany",)), "ReadWriteMany"),
        (a_claim(volumeMode="Block"), "Block"),
        (a_claim(selector={"matchLabels": {"a": "b"}}), "Selector"),
        (a_claim(dataSource={"kind": "VolumeSnapshot", "name": "s"}), "DataSource"),
    ],
)
def test_a_directory_of_one_node_is_refused_for_what_it_cannot_be(claim: Object, word: str) -> None:
    assert word in (refusal(claim) or "")
    assert refusal(a_claim()) is None
