"""Kinds of volumes that this node cannot give, and what it would need for them. Pure.

Room kubelet; called by volumes.py and claims.py, whose FailedMount events say it.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_CLOUD = "the CSI driver of its cloud, and this node registers no CSI drivers"
_NEEDS = {
    "nfs": "an NFS client (mount.nfs)",
    "iscsi": "an iSCSI initiator (iscsid)",
    "fc": "a Fibre Channel adapter",
    "cephfs": "a Ceph client",
    "rbd": "a Ceph client",
    "glusterfs": "a GlusterFS client",
    "gitRepo": "git, and Kubernetes has deprecated it: clone in an init container into an emptyDir",
    "flexVolume": "a FlexVolume driver, and this node has none",
    "flocker": "Flocker",
    "quobyte": "a Quobyte client",
    "storageos": "StorageOS",
    "scaleIO": "a ScaleIO client",
    "portworxVolume": "the Portworx CSI driver, and this node registers no CSI drivers",
    **dict.fromkeys(
        ("awsElasticBlockStore", "gcePersistentDisk", "azureDisk", "azureFile", "cinder",
         "vsphereVolume", "photonPersistentDisk"),
        _CLOUD,
    ),
}  # fmt: skip


def what_is_missing(source: Object) -> str | None:
    """Why a volume, or the spec of a PersistentVolume, cannot be had here; None if it is of no such
    kind."""
    if source.get("csi") is not None:
        driver = source["csi"].get("driver", "")
        return f"driver name {driver} not found in the list of registered CSI drivers"
    for kind, need in _NEEDS.items():
        if source.get(kind) is not None:
            return f"no volume plugin matched: {kind} needs {need}"
    return None


def is_recursive_read_only(mount: Object, is_possible: bool) -> bool:
    """What a volumeMount's `recursiveReadOnly` comes to; the engine refuses what it cannot do."""
    wanted = mount.get("recursiveReadOnly")
    return wanted == "Enabled" or (wanted == "IfPossible" and is_possible)
