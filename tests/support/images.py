"""Small image archives for tests, built from a dict of files: an OCI layout or a docker archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

Files = dict[str, bytes]


def layer_tar(files: Files, links: dict[str, str] | None = None) -> bytes:
    """An uncompressed layer; everything in it may be executed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def oci_layout_tar(
    path: Path, name: str, layers: list[bytes], config: dict[str, Any] | None = None
) -> Path:
    """A gzip-layered OCI layout as a tar."""
    blobs: Files = {}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        blobs[digest(content)] = content
        return {"mediaType": kind, "digest": digest(content), "size": len(content)}

    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(described).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            blob(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
            for layer in layers
        ],
    }
    entry = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    files = {f"blobs/sha256/{d.partition(':')[2]}": content for d, content in blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    path.write_bytes(layer_tar(files))
    return path


def docker_archive_tar(
    path: Path, name: str, layers: list[bytes], config: dict[str, Any] | None = None
) -> Path:
    """What `docker save` writes."""
    described = {
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]},
    }
    files = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    files["config.json"] = json.dumps(described).encode()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files["manifest.json"] = json.dumps(
        [{"Config": "config.json", "RepoTags": [name], "Layers": names}]
    ).encode()
    path.write_bytes(layer_tar(files))
    return path


def busybox_image_tar(path: Path, name: str = "busybox:1.0") -> Path:
    """An image with Debian's static busybox and links for its applets."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("needs Debian's busybox-static (.ci/run installs it)")
    applets = subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    files = {
        "bin/busybox": Path(busybox).read_bytes(),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n",
        "etc/group": b"root:x:0:\nweb:x:1000:\n",
    }
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin", "FLAVOUR=static"], "WorkingDir": "/"}
    return oci_layout_tar(path, name, [layer_tar(files, links)], config)
