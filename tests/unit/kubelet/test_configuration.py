"""A KubeletConfiguration: read in Kubernetes' own form, refused by name where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet import thresholds
from kubelet.allocatable import allocatable
from kubelet.configuration import ConfigurationError, KubeletConfiguration, load, parse
from kubelet.thresholds import Amount

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def read(text: str) -> KubeletConfiguration:
    return parse(HEAD + text, "kubelet.yaml")


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value)


def test_a_node_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == KubeletConfiguration()


def test_fields_are_read_in_their_own_units() -> None:
    found = read(
        "maxPods: 20\ncontainerLogMaxSize: 1Mi\nshutdownGracePeriod: 1m30s\n"
        "memorySwap: {swapBehavior: LimitedSwap}\nallowedUnsafeSysctls: ['net.core.*']\n"
    )
    assert (found.max_pods, found.container_log_max_bytes) == (20, 1 << 20)
    assert found.shutdown_grace_s == 90
    assert found.memory_swap_behavior == "LimitedSwap"
    assert found.allowed_unsafe_sysctls == ("net.core.*",)


def test_an_unknown_field_is_refused_in_the_decoders_words() -> None:
    assert refusal("maxPod: 20\n") == 'kubelet.yaml: strict decoding error: unknown field "maxPod"'


def test_a_field_that_would_do_nothing_is_refused_by_name() -> None:
    words = 'kubelet.yaml: field "topologyManagerPolicy" is not supported by this kubelet'
    assert refusal("topologyManagerPolicy: best-effort\n") == words


def test_every_problem_is_told_at_once() -> None:
    assert len(refusal("maxPods: many\nstaticPodPath: 3\nfoo: 1\n").splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("maxPods: -1\n", "maxPods (--max-pods) -1 must not be a negative number"),
        ("imageGCLowThresholdPercent: 90\n", "must be less than imageGCHighThresholdPercent"),
        ("shutdownGracePeriod: 500ms\n", "must be either zero or otherwise >= 1 sec"),
        ("shutdownGracePeriodCriticalPods: 5s\n", "must be <= shutdownGracePeriod 0s"),
        ("kubeReserved: {gpu: 1}\n", 'kubeReserved: cannot reserve "gpu" resource'),
        ("evictionHard: {memory.free: 1Gi}\n", 'unsupported eviction signal "memory.free"'),
        ("evictionSoft: {memory.available: 1Gi}\n", "grace period must be specified"),
        ("enforceNodeAllocatable: [kube-reserved]\n", '"kube-reserved" is not supported'),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_hard_threshold_replaces_all_defaults_unless_they_are_to_be_merged() -> None:
    alone = read("evictionHard: {memory.available: 5%}\n")
    assert dict(alone.eviction_hard) == {"memory.available": "5%"}
    merged = read("evictionHard: {memory.available: 5%}\nmergeDefaultEvictionSettings: true\n")
    assert dict(merged.eviction_hard) == {**thresholds.DEFAULT_HARD, "memory.available": "5%"}


def test_thresholds_are_shares_or_numbers() -> None:
    found = {one.signal: one.value for one in KubeletConfiguration().thresholds()}
    assert found["memory.available"] == Amount(number=100 << 20)
    assert found["nodefs.available"].of(1000) == 100


def test_allocatable_is_what_reservations_and_eviction_leave() -> None:
    settings = read(
        "kubeReserved: {cpu: 200m, memory: 1Gi}\nsystemReserved: {cpu: 300m}\n"
        "evictionHard: {memory.available: 1Gi, nodefs.available: 10%}\n"
    )
    capacity = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "1000", "pods": "250"}
    assert (
        allocatable({"memory": "8Gi", "hugepages-2Mi": "1Gi"}, KubeletConfiguration())["memory"]
        == f"{(7 << 20) - (100 << 10)}Ki"
    )
    assert allocatable(capacity, settings) == {
        "cpu": "3500m", "memory": f"{6 << 20}Ki", "ephemeral-storage": "900", "pods": "250",
    }  # fmt: skip
