"""What a Pod calls itself, by its spec."""

from __future__ import annotations

import platform

import pytest

from kubelet import pod_files
from kubelet.pod_hostname import NameTooLong, full_name, hostname, kernel_name
from tests.unit.kubelet.containers import a_kubelet_pod


def test_the_hostname_is_the_pods_unless_it_says_another() -> None:
    assert hostname(a_kubelet_pod()) == a_kubelet_pod()["metadata"]["name"]
    assert kernel_name(a_kubelet_pod(hostname="mail")) == "mail"


def test_a_subdomain_makes_a_full_name_that_only_set_hostname_as_fqdn_shows() -> None:
    pod = a_kubelet_pod(hostname="mail", subdomain="post")
    full = f"mail.post.{pod['metadata']['namespace']}.svc.cluster.local"
    assert full_name(pod) == full
    assert kernel_name(pod) == "mail"
    pod["spec"]["setHostnameAsFQDN"] = True
    assert kernel_name(pod) == full
    assert f"10.0.0.9\t{full}\tmail" in pod_files.hosts(pod, "10.0.0.9")
    assert full_name(pod, "example") == full.replace("cluster.local", "example")


def test_without_a_subdomain_there_is_no_full_name() -> None:
    assert kernel_name(a_kubelet_pod(hostname="mail", setHostnameAsFQDN=True)) == "mail"


def test_a_full_name_that_the_kernel_does_not_take_is_refused() -> None:
    pod = a_kubelet_pod(hostname="a" * 40, subdomain="b" * 20, setHostnameAsFQDN=True)
    with pytest.raises(NameTooLong, match=r"is too long \(64 is the max, \d+ characters requested"):
        kernel_name(pod)


def test_in_the_nodes_network_it_has_the_nodes_name() -> None:
    assert kernel_name(a_kubelet_pod(hostname="mail", hostNetwork=True)) == platform.node()
