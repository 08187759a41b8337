"""Room podium/client: a kubeconfig, as far as a client needs it."""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be understood; the message names the file."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where the API server is and who we are. Keys and certificates are PEM."""

    server: str  # "https://127.0.0.1:6443"
    ca: bytes | None = None  # None: the machine's own trusted CAs
    client_certificate: bytes | None = None
    client_key: bytes | None = None
    token: str | None = None
    namespace: str = "default"
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to dial."""
        parts = urlsplit(self.server)
        return parts.hostname or "localhost", parts.port or (443 if self.is_tls else 80)

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.server).scheme == "https"

    @property
    def path_prefix(self) -> str:
        """ "" or what stands before /api, when the server is behind a proxy."""
        return urlsplit(self.server).path.rstrip("/")

    @property
    def server_name(self) -> str:
        """What the server's certificate must be for."""
        return self.tls_server_name or self.address[0]


def load_kubeconfig(path: str | Path, context: str | None = None) -> ClientConfig:
    """The cluster and user of the current (or the named) context.

    Raises KubeconfigError, or OSError if a file cannot be read.
    """
    import yaml

    path = Path(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(path.read_bytes(), Loader=loader)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    chosen = _named(path, raw, "contexts", "context", context or raw.get("current-context") or "")
    cluster = _named(path, raw, "clusters", "cluster", chosen.get("cluster") or "")
    user = _named(path, raw, "users", "user", chosen["user"]) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise KubeconfigError(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    return ClientConfig(
        server=cluster["server"],
        ca=_data(path, cluster, "certificate-authority"),
        client_certificate=_data(path, user, "client-certificate"),
        client_key=_data(path, user, "client-key"),
        token=_token(path, user),
        namespace=chosen.get("namespace") or "default",
        tls_server_name=cluster.get("tls-server-name"),
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
    )


def ssl_context(config: ClientConfig) -> ssl.SSLContext:
    """Trusts the cluster's CA alone and shows our certificate."""
    context = ssl.create_default_context(cadata=config.ca.decode() if config.ca else None)
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate and config.client_key:
        _load_pair(context, config.client_certificate + b"\n" + config.client_key)
    return context


def _load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL wants a file's name; a memfd is one, and no key touches a disk."""
    fd = os.memfd_create("podium-client-key", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _named(path: Path, raw: dict[str, Any], plural: str, kind: str, name: str) -> dict[str, Any]:
    for entry in raw.get(plural) or ():
        if entry.get("name") == name:
            found = entry.get(kind) or {}
            return dict(found)
    raise KubeconfigError(f"{path}: there is no {kind} {name!r}")


def _data(path: Path, section: dict[str, Any], name: str) -> bytes | None:
    """Inline base64 (`name-data`) or a file's content; a relative file is beside the kubeconfig."""
    inline = section.get(f"{name}-data")
    if inline:
        return base64.b64decode(inline)
    file = section.get(name)
    return (path.parent / file).read_bytes() if file else None


def _token(path: Path, user: dict[str, Any]) -> str | None:
    if user.get("tokenFile"):
        return Path(path.parent, user["tokenFile"]).read_text().strip()
    token = user.get("token")
    return str(token) if token else None
