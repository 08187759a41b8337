"""Who a Pod is to the registries: its imagePullSecrets, and the node's own config.json.

Room kubelet; called by image_puller.py before a pull. The ServiceAccount's imagePullSecrets are in
the Pod already: the API server's admission copies them. Source: Kubernetes
`pkg/kubelet/kubelet_pods.go` (getPullSecretsForPod), `pkg/credentialprovider/secrets`, v1.32.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubelet.images.registry.credentials import BadConfig, Credential, Keyring, read_config

log = logging.getLogger("pull-secrets")
Object = dict[str, Any]
Fetch = Callable[[str, str, str], Object | None]
Entries = list[tuple[str, Credential]]

_KEYS = (
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", False),
    ("kubernetes.io/dockercfg", ".dockercfg", True),
)


class PullSecrets:
    """`fetch(kind, namespace, name)` gives an object or None, `node_config` is a docker
    config.json that counts for every Pod of the node; it need not be there."""

    def __init__(self, fetch: Fetch, node_config: Path) -> None:
        self._fetch, self._node_config = fetch, node_config

    def keyring(self, pod: Object) -> tuple[Keyring, list[str]]:
        """(all that is known, names of secrets that are not there)."""
        entries: Entries = []
        missing = []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            name = reference.get("name", "")
            secret = self._fetch("secrets", pod["metadata"]["namespace"], name) if name else None
            if secret is None:
                missing.append(name)
            else:
                entries += entries_of(secret)
        return Keyring([*entries, *self._of_node()]), missing

    def node_keyring(self) -> Keyring:
        """What every Pod of the node may use."""
        return Keyring(self._of_node())

    def _of_node(self) -> Entries:
        try:
            return read_config(self._node_config.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, BadConfig) as failure:
            log.warning("%s: %s", self._node_config, failure)
            return []


def entries_of(secret: Object) -> Entries:
    """Of a Secret; one of another type, or that cannot be read, has none."""
    for type_, key, is_old in _KEYS:
        data = (secret.get("data") or {}).get(key)
        if secret.get("type") == type_ and data is not None:
            try:
                return read_config(base64.b64decode(data), is_old=is_old)
            except (BadConfig, binascii.Error) as failure:
                log.warning("secret %s: %s", secret["metadata"]["name"], failure)
    return []
