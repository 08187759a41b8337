"""The network of one node's Pods: a bridge, a veth pair a Pod, addresses, a firewall.

The only room that speaks netlink. It knows namespaces and uids, not Pods; its state is the kernel's
own plus one symbolic link an address, so that an address is never given twice, whatever crashes.
"""

from kubelet.network.addresses import AddressPool, PodAddress
from kubelet.network.bandwidth import Bandwidth
from kubelet.network.errors import NetworkError, NoAddressLeft, SubnetClash
from kubelet.network.host_ports import HostPort
from kubelet.network.pod_network import PodNetwork

__all__ = [
    "AddressPool",
    "Bandwidth",
    "HostPort",
    "NetworkError",
    "NoAddressLeft",
    "PodAddress",
    "PodNetwork",
    "SubnetClash",
]
