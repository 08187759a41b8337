"""A registry on this machine with one image, and what skopeo needs to fetch it.

Needs Debian's docker-registry, skopeo and busybox-static; `is_there` says whether they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.cluster import BenchError, free_port

MIB = 1024 * 1024
LAYERS_MIB = (30, 15, 5)
FILE_BYTES = 256 * 1024
NAME = "bench/app:1"
TIMEOUT_S = 60
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def is_there() -> bool:
    return all(shutil.which(name) for name in ("docker-registry", "skopeo", "busybox"))


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Without TLS; gives the image's name."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as directory:
        port = free_port()
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{directory}/data"}},
            "http": {"addr": f"127.0.0.1:{port}", "secret": "of the bench"},
        }
        Path(directory, "config.yml").write_text(json.dumps(config))
        server = subprocess.Popen(
            ["docker-registry", "serve", f"{directory}/config.yml"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(port)
            image = f"127.0.0.1:{port}/{NAME}"
            archive = write_archive(Path(directory, "image.tar"))
            skopeo("--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{image}")
            yield image
        finally:
            server.kill()
            server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError("docker-registry does not listen")


def skopeo(*args: str) -> None:
    command = ["skopeo", "--insecure-policy", "copy", *args]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=2 * TIMEOUT_S
    )
    if done.returncode != 0:
        raise BenchError(f"skopeo: {done.stderr.strip()}")


def seconds_for_skopeo(image: str) -> float:
    """Until it has fetched and checked the image; it unpacks nothing."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as directory:
        began = time.perf_counter()
        skopeo("--src-tls-verify=false", f"docker://{image}", f"dir:{directory}/image")
        return time.perf_counter() - began


def write_archive(path: Path) -> Path:
    """What `docker save` would write: busybox below files of which half cannot be compressed."""
    layers = [_layer(number, mib) for number, mib in enumerate(LAYERS_MIB)]
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
    }
    names = [f"{number}.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": names}]
    files = {"config.json": json.dumps(config).encode(), **dict(zip(names, layers, strict=True))}
    path.write_bytes(_tar({**files, "manifest.json": json.dumps(manifest).encode()}))
    return path


def _layer(number: int, mib: int) -> bytes:
    half = FILE_BYTES // 2
    files = {
        f"data/{number}/{file}": os.urandom(half) + os.urandom(64) * (half // 64)
        for file in range(mib * MIB // FILE_BYTES)
    }
    if number == 0:
        program = Path(str(shutil.which("busybox"))).read_bytes()
        files |= {"bin/sleep": program}
    return _tar(files)


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
