"""Small images for tests, from a dict of files: an OCI layout or a docker archive, as a tar."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Files = dict[str, bytes]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

# ---- layers ----


def an_entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of a tar; `fields` are TarInfo's own: `type=tarfile.DIRTYPE`, `mode=0o4755`."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def a_directory(name: str, mode: int = 0o755, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return an_entry(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def a_symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return an_entry(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def a_hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return an_entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layer_tar(files: Files, links: dict[str, str] | None = None) -> bytes:
    """An uncompressed layer; everything in it may be executed."""
    entries = [an_entry(name, content, mode=0o755) for name, content in files.items()]
    return tar_of(*entries, *(a_symlink(name, target) for name, target in (links or {}).items()))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


# ---- images ----


class OciLayout:
    """An OCI layout that is being put together; what is wrong with it can be put in by hand."""

    def __init__(self) -> None:
        self.files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
        self.manifests: list[dict[str, Any]] = []

    def blob(self, content: bytes | dict[str, Any], media_type: str) -> dict[str, Any]:
        """The descriptor of a blob that is now in the layout."""
        raw = json.dumps(content).encode() if isinstance(content, dict) else content
        self.files[f"blobs/sha256/{digest(raw).removeprefix('sha256:')}"] = raw
        return {"mediaType": media_type, "digest": digest(raw), "size": len(raw)}

    def image(
        self,
        name: str | None,
        layers: list[bytes],
        config: dict[str, Any] | None = None,
        *,
        compress: Callable[[bytes], bytes] = pack,
    ) -> dict[str, Any]:
        """The descriptor of an image's manifest, which the index names as well."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(image_config(layers, config), CONFIG),
            "layers": [self.blob(compress(layer), f"{LAYER}+gzip") for layer in layers],
        }
        descriptor = self.blob(manifest, MANIFEST)
        if name is not None:
            descriptor["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(descriptor)
        return descriptor

    def all_files(self) -> Files:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests}
        return {"index.json": json.dumps(index).encode()} | self.files

    def tar(self) -> bytes:
        return layer_tar(self.all_files())

    def write_tar(self, path: Path) -> Path:
        path.write_bytes(self.tar())
        return path

    def write_directory(self, directory: Path) -> Path:
        for name, content in self.all_files().items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
        return directory


def image_config(layers: list[bytes], config: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    }


def oci_layout_tar(
    path: Path, name: str, layers: list[bytes], config: dict[str, Any] | None = None
) -> Path:
    """An OCI layout with gzip layers, as a tar."""
    layout = OciLayout()
    layout.image(name, layers, config)
    return layout.write_tar(path)


def docker_archive_tar(
    path: Path, name: str, layers: list[bytes], config: dict[str, Any] | None = None
) -> Path:
    """What `docker save` writes."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files = dict(zip(names, layers, strict=True))
    files["config.json"] = json.dumps(image_config(layers, config)).encode()
    entry = {"Config": "config.json", "RepoTags": [name], "Layers": names}
    files["manifest.json"] = json.dumps([entry]).encode()
    path.write_bytes(layer_tar(files))
    return path


# ---- an image that runs ----

_STATIC_C = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (!strcmp(name, "true")) return 0;
    if (!strcmp(name, "false")) return 1;
    if (!strcmp(name, "sleep")) for (;;) pause();
    for (int i = 1; i < argc; i++) printf("%s%s", argv[i], i + 1 < argc ? " " : "");
    puts("");
    return 0;
}
"""


def busybox_image_tar(path: Path, name: str = "busybox:1.0") -> Path:
    """An image with Debian's static busybox and links for its applets (PATH, FLAVOUR=static and the
    user `web`, 1000, are in it). Without busybox, with a C program that knows true, false, echo and
    a sleep that never ends; raises RuntimeError when there is no gcc either."""
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin", "FLAVOUR=static"], "WorkingDir": "/"}
    return oci_layout_tar(path, name, [busybox_layer()], config)


def busybox_layer() -> bytes:
    """That image's one layer."""
    busybox = shutil.which("busybox")
    if busybox is not None and _is_static(Path(busybox)):
        program, applets = Path(busybox).read_bytes(), _applets(busybox)
    else:
        program, applets = _compiled(), ["true", "false", "echo", "sleep"]
    directories = [
        a_directory(name, mode)
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777))
    ]
    return tar_of(
        *directories,
        an_entry("bin/busybox", program, mode=0o755),
        *(a_symlink(f"bin/{applet}", "busybox") for applet in applets if applet != "busybox"),
        an_entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n"),
        an_entry("etc/group", b"root:x:0:\nweb:x:1000:\n"),
    )


def _applets(busybox: str) -> list[str]:
    done = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return done.stdout.split()


def _is_static(program: Path) -> bool:
    """Without an interpreter (PT_INTERP), so that it runs in a root without libraries."""
    head = program.read_bytes()[:4096]
    assert stat.S_ISREG(program.stat().st_mode)
    return head.startswith(b"\x7fELF") and b"/ld-linux" not in head and b"/ld-musl" not in head


def _compiled() -> bytes:
    if shutil.which("gcc") is None:
        raise RuntimeError(
            "needs Debian's busybox-static, or gcc to compile something in its place"
        )
    with tempfile.TemporaryDirectory() as directory:
        source, program = Path(directory, "small.c"), Path(directory, "small")
        source.write_text(_STATIC_C)
        subprocess.run(["gcc", "-static", "-Os", "-o", program, source], check=True)
        return program.read_bytes()
