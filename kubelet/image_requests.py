"""What the kubelet's server does with images when somebody asks: list, load, pull, remove.

Room kubelet; called by server.py, in a connection's thread. Everything may take long but `images`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO

from kubelet.http_body import RequestBody
from kubelet.image_keeper import ImageKeeper
from kubelet.images import Image, ImageStore
from kubelet.images.pull import Pulls
from kubelet.images.reference import normalise, repository
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.pull_secrets import PullSecrets

Object = dict[str, Any]
MAX_REQUEST_BYTES = 64 * 1024


class ImageRequests:
    """`came()` is called when images have come or gone."""

    def __init__(
        self, store: ImageStore, keeper: ImageKeeper, pulls: Pulls, secrets: PullSecrets,
        came: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store, self._keeper = store, keeper
        self._pulls, self._secrets, self._came = pulls, secrets, came

    def images(self) -> Object:
        return _answer(self._store.list())

    def load(self, body: RequestBody, name: str | None) -> Object:
        """An archive; raises ImageError."""
        loaded = self._store.load(body, name=name)  # type: ignore[arg-type]
        body.drain()
        self._came()
        return _answer(loaded)

    def pull(self, body: BinaryIO | RequestBody) -> Object:
        """`{"reference": …, "username": …, "password": …}`, without the latter as who the node is;
        raises ImageError, ValueError."""
        asked = json.loads(body.read(MAX_REQUEST_BYTES))
        if not isinstance(asked, dict) or not asked.get("reference"):
            raise ValueError("the body should be a JSON object with a reference")
        reference = str(asked["reference"])
        image = self._pulls.start(reference, self._keyring(reference, asked)).wait()
        self._came()
        return _answer([image])

    def _keyring(self, reference: str, asked: Object) -> Keyring:
        if not asked.get("username"):
            return self._secrets.node_keyring()
        who = Credential(str(asked["username"]), str(asked.get("password") or ""))
        return Keyring([(repository(normalise(reference)), who)])

    def remove(self, reference: str) -> Object:
        """Raises ImageNotFound, ImageInUse."""
        self._keeper.remove(reference)
        self._came()
        return {"removed": reference}


def _answer(images: list[Image]) -> Object:
    return {"images": [_shown(image) for image in images]}


def _shown(image: Image) -> Object:
    return {
        "id": image.id,
        "references": list(image.references),
        "repoDigests": list(image.repo_digests),
        "sizeBytes": image.size_bytes,
    }
