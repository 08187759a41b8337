"""What every cluster has from its first start. Room apiserver; called by server.py."""

from __future__ import annotations

from apiserver.errors import Conflicted
from apiserver.storage import Store
from apiserver.strategies import prepare_create
from podium.api.scheme import resource

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def create_default_objects(store: Store) -> None:
    """Create what is missing. Safe to call at each start, and by several servers at once."""
    namespaces = resource("namespaces")
    for name in NAMESPACES:
        if store.get(namespaces.key, "", name) is not None:
            continue
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        prepare_create(namespaces, namespace)
        try:
            store.write(namespaces.key, namespace, None)
        except Conflicted:
            continue  # another server was faster
