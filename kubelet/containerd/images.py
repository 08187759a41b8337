"""What containerd makes roots of: the image of sandboxes, the built-in `host`, and the kubelet's.

Images are pulled, kept and collected by the kubelet, whichever engine it has; containerd, which can
only make roots of images of its own, is given each as one layer. All are brought in as OCI archives
with containerd's own `ctr images import`. Runs in the kubelet; what is there is left alone.
Source: OCI image specification, image-layout.md and config.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from typing import Any

from kubelet.containerd.connection import NAMESPACE, Connection
from kubelet.containerd.daemon import PAUSE_IMAGE
from kubelet.containerd.pause import pause_program
from kubelet.image_mounts import mount_layers
from kubelet.runtime import host_image, syscalls
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.host_image import HostImage

TIMEOUT_S = 600.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MEDIA = "application/vnd.oci.image"
_HOST, _LAYERS = "podium.local/host", "podium.local/layers"


def ensure_pause(connection: Connection, root: str) -> None:
    """The image of sandboxes' first process."""
    if is_there(connection, PAUSE_IMAGE):
        return
    with tempfile.TemporaryDirectory(dir=root) as work:
        program = pause_program()
        with tarfile.open(f"{work}/layer.tar", "w") as layer:
            entry = tarfile.TarInfo("pause")
            entry.size, entry.mode = len(program), 0o755
            layer.addfile(entry, io.BytesIO(program))
        _import(connection, PAUSE_IMAGE, work, ["/pause"])


def ensure_host(connection: Connection, root: str) -> tuple[str, HostImage]:
    """The image `host`: its name in containerd, and what of the host is bound into it."""
    skeleton = host_image.prepare(f"{root}/host-image")
    name = f"{_HOST}:{os.path.basename(skeleton.lower_dir)}"
    if not is_there(connection, name):
        with tempfile.TemporaryDirectory(dir=root) as work:
            with tarfile.open(f"{work}/layer.tar", "w") as layer:
                layer.add(skeleton.lower_dir, arcname="")
            _import(connection, name, work, [])
    return name, skeleton


def ensure_layers(connection: Connection, root: str, lower_dirs: Sequence[str]) -> str:
    """The image that consists of these directories, lowest first: its name in containerd. Those
    whose directories the kubelet has removed meanwhile are removed."""
    text = "\0".join(lower_dirs)
    tag = hashlib.sha256(text.encode()).hexdigest()[:40]
    if not is_there(connection, f"{_LAYERS}:{tag}"):
        os.makedirs(f"{root}/layers", mode=0o700, exist_ok=True)
        _remove_orphans(connection, f"{root}/layers")
        with tempfile.TemporaryDirectory(dir=root) as work:
            _pack(lower_dirs, work)
            _import(connection, f"{_LAYERS}:{tag}", work, [])
        with open(f"{root}/layers/{tag}", "w", encoding="utf-8") as file:
            file.write(text)
    return f"{_LAYERS}:{tag}"


def _pack(lower_dirs: Sequence[str], work: str) -> None:
    """layer.tar, of what the layers show together: their whiteouts have done their work."""
    merged = f"{work}/merged"
    os.mkdir(merged)
    mount_layers(lower_dirs, merged)
    try:
        _run("tar", "--create", "--file", f"{work}/layer.tar", "--xattrs", "--xattrs-include=*",
             "--numeric-owner", "--directory", merged, ".")  # fmt: skip
    finally:
        syscalls.umount(merged, syscalls.MNT_DETACH)


def _remove_orphans(connection: Connection, records: str) -> None:
    for tag in os.listdir(records):
        with open(f"{records}/{tag}", encoding="utf-8") as file:
            is_whole = all(os.path.isdir(path) for path in file.read().split("\0"))
        if not is_whole:
            connection.image("RemoveImage", image={"image": f"{_LAYERS}:{tag}"})
            os.unlink(f"{records}/{tag}")


def is_there(connection: Connection, name: str) -> bool:
    answer = connection.image("ImageStatus", image={"image": name})
    return bool(answer.image.id)


def _import(connection: Connection, name: str, work: str, entrypoint: list[str]) -> None:
    """Bring in the image of one layer, `<work>/layer.tar`; raises RuntimeFailure."""
    _write_archive(name, work, entrypoint)
    _run("ctr", "--address", connection.socket_path, "--namespace", NAMESPACE, "images", "import",
         f"{work}/archive.tar")  # fmt: skip


def _write_archive(name: str, work: str, entrypoint: list[str]) -> None:
    """`<work>/archive.tar`, an OCI layout."""
    layer = f"{work}/layer.tar"
    with open(layer, "rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    config = {
        "architecture": _ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    with tarfile.open(f"{work}/archive.tar", "w") as archive:
        archive.add(layer, arcname=_blob(digest))
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _add(archive, "config.v1+json", config),
            "layers": [_described("layer.v1.tar", digest, os.path.getsize(layer))],
        }
        named = _add(archive, "manifest.v1+json", manifest)
        named["annotations"] = {"io.containerd.image.name": name}
        _add_file(archive, "index.json", {"schemaVersion": 2, "manifests": [named]})
        _add_file(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})


def _add(archive: tarfile.TarFile, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """A blob; how it is referred to."""
    text = json.dumps(content).encode()
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    _add_file(archive, _blob(digest), content)
    return _described(kind, digest, len(text))


def _add_file(archive: tarfile.TarFile, path: str, content: dict[str, Any]) -> None:
    text = json.dumps(content).encode()
    entry = tarfile.TarInfo(path)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


def _described(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_MEDIA}.{kind}", "digest": digest, "size": size}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeFailure(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailure(f"{argv[0]}: {words}")
