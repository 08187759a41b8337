"""The directories of this node that are PersistentVolumes of podium.dev/local-path.

Room kubelet; claims.py has one made at its first mount, and the keeper here removes it once its
PersistentVolume is being deleted and nobody but us holds it back. The object's finalizer waits for
that, so after any crash either the directory is gone or the object still says that it should be.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from kubelet.mount_points import unmount_below
from kubelet.runtime.tree_removal import remove_tree
from podium.client.errors import Conflict, NotFound
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]
log = logging.getLogger("local-storage")

LOCAL_PATH = "podium.dev/local-path"  # the driver, and the finalizer that is ours to take away
NODE_LABEL = "podium.dev/node"
_HANDLE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?")


class LocalStorage:
    """`<node dir>/storage/<handle>`, open to every user of a container and to nobody else: the
    directory above is 0700."""

    def __init__(self, node_dir: str) -> None:
        self._root = Path(node_dir) / "storage"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def ensure(self, handle: str) -> str:
        """The directory, made if it is not there."""
        path = self._path(handle)
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        return str(path)

    def remove(self, handle: str) -> None:
        """With all that is in it: links are removed, not followed, and mounts are taken off first.
        Safe to repeat."""
        path = self._path(handle)
        if path.exists():
            unmount_below(str(path))
            remove_tree(path)

    def _path(self, handle: str) -> Path:
        if not _HANDLE.fullmatch(handle) or ".." in handle:
            raise ValueError(f"not a volume's handle: {handle!r}")
        return self._root / handle


class StorageKeeper:
    """Removes what its PersistentVolume lets go. A key is a volume's name."""

    def __init__(
        self, client: Client, informers: InformerFactory, storage: LocalStorage, node: str
    ) -> None:
        self._client, self._storage = client, storage
        self._volumes = informers.informer(
            "persistentvolumes", label_selector=f"{NODE_LABEL}={node}"
        )
        self._loop = ReconcileLoop("local-storage", self.reconcile)
        self._volumes.add_handler(self._seen, lambda _, new: self._seen(new))

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def _seen(self, volume: Object) -> None:
        if volume["metadata"].get("deletionTimestamp"):
            self._loop.add(volume["metadata"]["name"])

    def reconcile(self, name: str) -> None:
        """Act once ours is the last finalizer: until then somebody may still use the volume."""
        volume = self._volumes.get(name)
        if volume is None or not volume["metadata"].get("deletionTimestamp"):
            return
        if list(volume["metadata"].get("finalizers") or ()) != [LOCAL_PATH]:
            return
        spec = volume["spec"]
        is_ours = (spec.get("csi") or {}).get("driver") == LOCAL_PATH
        if is_ours and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            self._storage.remove(spec["csi"]["volumeHandle"])
            log.info("%s: directory removed", name)
        patch = {
            "metadata": {
                "uid": volume["metadata"]["uid"],
                "resourceVersion": volume["metadata"]["resourceVersion"],
                "finalizers": None,
            }
        }
        try:
            self._client.patch("persistentvolumes", name, None, patch)
        except (NotFound, Conflict) as error:
            log.debug("%s: %s", name, error)
