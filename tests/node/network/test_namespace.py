"""Sockets in another network namespace, made from a thread that stays at home."""

from __future__ import annotations

import os
import socket

import pytest
from pyroute2 import IPRoute

from kubelet.network import NetworkError
from kubelet.network.namespace import tcp_inside
from tests.node.network.netns import Netns


def test_a_socket_connects_where_it_was_made(pods: list[Netns]) -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    with pods[0].inside(), IPRoute() as ip:
        ip.link("set", index=1, state="up")  # its loopback
        listener = socket.create_server(("127.0.0.1", 0))
    with listener, tcp_inside(pods[0].path, socket.AF_INET, is_hosts=False) as client:
        client.connect(listener.getsockname())
        assert os.readlink("/proc/thread-self/ns/net") == home


def test_a_pods_path_that_leads_home_is_refused() -> None:
    with pytest.raises(NetworkError, match="own network namespace"):
        tcp_inside("/proc/self/ns/net", socket.AF_INET, is_hosts=False)
    tcp_inside("/proc/self/ns/net", socket.AF_INET, is_hosts=True).close()
