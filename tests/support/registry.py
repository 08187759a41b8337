"""A real registry for tests: Debian's docker-registry on a free port of loopback, over TLS with a
CA of its own and with a password; images are pushed with skopeo.

    with running_registry(tmp_path, password=True) as registry:
        registry.push(layout, "team/app:1")
        registry.trust(data_dir)  # certs.d/<host>/hosts.toml
        pull(f"{registry.host}/team/app:1")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import a_ca, a_server_certificate
from tests.support.images import OciLayout
from tests.support.waiting import eventually

USER, PASSWORD = "ali", "open sesame"
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n"
needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None or shutil.which("skopeo") is None,
    reason="needs Debian's docker-registry and skopeo",
)


@dataclass
class Registry:
    """One that runs."""

    host: str  # "127.0.0.1:40123"
    ca: Path
    directory: Path
    has_password: bool

    def push(self, layout: OciLayout | Path, name: str, *options: str) -> str:
        """Copy an image into it; gives its full name. `options` go to `skopeo copy`."""
        full = f"{self.host}/{name}"
        with tempfile.TemporaryDirectory() as directory:
            if isinstance(layout, OciLayout):
                layout = layout.write_directory(Path(directory, "layout"))
            source = f"oci:{layout}" if layout.is_dir() else f"oci-archive:{layout}"
            self._skopeo("copy", *options, source, f"docker://{full}")
        return full

    def digest(self, name: str) -> str:
        """What a tag means now; of an index its own."""
        repository, _, tag = name.removeprefix(f"{self.host}/").rpartition(":")
        request = urllib.request.Request(
            f"https://{self.host}/v2/{repository}/manifests/{tag}",
            method="HEAD",
            headers={
                "Accept": "application/vnd.oci.image.index.v1+json, "
                "application/vnd.oci.image.manifest.v1+json, "
                "application/vnd.docker.distribution.manifest.v2+json",
                "Authorization": f"Basic {basic()}",
            },
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def trust(self, directory: Path, host: str = "", **more: str) -> None:
        """Have what reads `directory`/certs.d trust its CA; `host` is the name it is called by."""
        name = host or self.host
        there = directory / "certs.d" / name
        there.mkdir(parents=True, exist_ok=True)
        lines = [f'server = "https://{self.host}"', f'ca = "{self.ca}"']
        (there / "hosts.toml").write_text("\n".join([*lines, *more.values()]) + "\n")

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def _skopeo(self, *args: str) -> str:
        """With a directory of our own for its temporary files and no user's settings."""
        environment = {**os.environ, "REGISTRY_AUTH_FILE": "/nonexistent"}
        where = ["--dest-cert-dir", str(self.ca.parent), "--dest-creds", f"{USER}:{PASSWORD}"]
        done = subprocess.run(
            ["skopeo", "--insecure-policy", args[0], *where, *args[1:]],
            capture_output=True, text=True, env=environment, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def basic() -> str:
    return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def docker_config(host: str, password: str = PASSWORD) -> dict[str, Any]:
    """What a kubernetes.io/dockerconfigjson Secret holds."""
    return {"auths": {host: {"username": USER, "password": password}}}


@contextmanager
def running_registry(directory: Path, *, password: bool = False) -> Iterator[Registry]:
    """Ended, and what it stored removed with the directory, at the end."""
    pki = directory / "pki"
    pki.mkdir(parents=True)
    (directory / "ca").mkdir()
    ca = a_ca(directory / "ca" / "ca.crt")
    a_server_certificate(ca, pki / "server.crt", pki / "server.key")
    (directory / "htpasswd").write_text(_HTPASSWD)
    port = _free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": "of a test",
            "tls": {"certificate": str(pki / "server.crt"), "key": str(pki / "server.key")},
        },
    }
    if password:
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        eventually(lambda: _listens(port, process))
        yield Registry(f"127.0.0.1:{port}", directory / "ca" / "ca.crt", directory, password)
    finally:
        process.kill()
        process.wait()


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the registry has ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
