"""Images that containerd cannot pull: the sandbox's, and the built-in image `host`.

Each is made as an OCI archive and brought in with containerd's own `ctr images import`. Runs in the
kubelet, once a start; what is there already is left alone.
Source: OCI image specification, image-layout.md and config.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from typing import Any

from kubelet.containerd.connection import NAMESPACE, Connection
from kubelet.containerd.daemon import PAUSE_IMAGE
from kubelet.containerd.pause import pause_program
from kubelet.runtime import host_image
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.host_image import HostImage

IMPORT_TIMEOUT_S = 300.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MEDIA = "application/vnd.oci.image"


def ensure_pause(connection: Connection) -> None:
    """The image of sandboxes' first process."""
    if not is_there(connection, PAUSE_IMAGE):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            program = pause_program()
            entry = tarfile.TarInfo("pause")
            entry.size, entry.mode = len(program), 0o755
            archive.addfile(entry, io.BytesIO(program))
        import_image(connection, oci_archive(PAUSE_IMAGE, layer.getvalue(), ["/pause"]))


def ensure_host(connection: Connection, directory: str) -> tuple[str, HostImage]:
    """The image `host`, from a skeleton below `directory`: its name in containerd, and what is
    bound into it."""
    skeleton = host_image.prepare(directory)
    name = f"podium.local/host:{os.path.basename(skeleton.lower_dir)}"
    if not is_there(connection, name):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.add(skeleton.lower_dir, arcname="")
        import_image(connection, oci_archive(name, layer.getvalue(), []))
    return name, skeleton


def is_there(connection: Connection, name: str) -> bool:
    answer = connection.image("ImageStatus", image={"image": name})
    return bool(answer.image.id)


def import_image(connection: Connection, archive: bytes) -> None:
    """Raises RuntimeFailure with what `ctr` says."""
    done = subprocess.run(
        ["ctr", "--address", connection.socket_path, "--namespace", NAMESPACE, "images", "import",
         "-"],
        input=archive, capture_output=True, timeout=IMPORT_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeFailure(f"ctr images import: {done.stderr.decode(errors='replace').strip()}")


def oci_archive(name: str, layer: bytes, entrypoint: list[str]) -> bytes:
    """A tar of an OCI layout with one image of one uncompressed layer."""
    blobs: dict[str, bytes] = {}

    def put(media_type: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        blobs[f"blobs/{digest.replace(':', '/')}"] = content
        return {"mediaType": f"{_MEDIA}.{media_type}", "digest": digest, "size": len(content)}

    layer_entry = put("layer.v1.tar", layer)
    config = {
        "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": put("config.v1+json", json.dumps(config).encode()),
        "layers": [layer_entry],
    }
    named = put("manifest.v1+json", json.dumps(manifest).encode())
    named["annotations"] = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "manifests": [named]}
    blobs |= {
        "index.json": json.dumps(index).encode(),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    }
    return _tar(blobs)


def _tar(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()
