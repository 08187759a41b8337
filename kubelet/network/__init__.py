"""The network of one node's Pods: a bridge, a veth pair a Pod, addresses, masquerade.

The only room that speaks netlink. It knows namespaces and uids, not Pods; its state is the kernel's own
plus one small file an address, so that an address is never given twice, whatever crashes.
"""

from kubelet.network.addresses import AddressPool, NetworkError, PodAddress
from kubelet.network.bridge import PodNetwork

__all__ = ["AddressPool", "NetworkError", "PodAddress", "PodNetwork"]
