"""The cluster's certificates: real openssl checks them, real TLS handshakes use them."""

from __future__ import annotations

import datetime
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from podium.cli import pki


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    pki.create_pki(tmp_path / "data", ["node-a"], "127.0.0.1", 7443)
    return tmp_path / "data"


def all_files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_keys_and_kubeconfigs_are_readable_by_their_owner_alone(data_dir: Path) -> None:
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    for path in data_dir.rglob("*"):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_second_call_changes_nothing(data_dir: Path) -> None:
    before = all_files(data_dir)
    pki.create_pki(data_dir, ["node-a"], "127.0.0.1", 7443)
    assert all_files(data_dir) == before


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("apiserver", "sslserver"),
        ("kubelet-node-a", "sslserver"),
        ("apiserver-kubelet-client", "sslclient"),
    ],
)
def test_openssl_verifies_every_certificate(data_dir: Path, name: str, purpose: str) -> None:
    ca, certificate = data_dir / "pki/ca.crt", data_dir / f"pki/{name}.crt"
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, certificate],
        check=True,
        capture_output=True,
    )


@contextmanager
def tls_server(data_dir: Path, name: str) -> Iterator[tuple[int, list[dict[str, object]]]]:
    """One handshake with a client certificate asked for; the peers seen are collected."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=data_dir / "pki/ca.crt")
    context.load_cert_chain(data_dir / f"pki/{name}.crt", data_dir / f"pki/{name}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    peers: list[dict[str, object]] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as tls:
            peers.append(tls.getpeercert() or {})
            tls.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], peers
        thread.join(10)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "kubernetes.default.svc", "10.96.0.1"])
def test_the_apiserver_is_known_by_all_its_names(data_dir: Path, name: str) -> None:
    context = ssl.create_default_context(cafile=data_dir / "pki/ca.crt")
    client = data_dir / "pki/apiserver-kubelet-client"
    context.load_cert_chain(client.with_suffix(".crt"), client.with_suffix(".key"))
    with (
        tls_server(data_dir, "apiserver") as (port, peers),
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        assert tls.recv(1) == b"x"
    assert ((("commonName", "kube-apiserver-kubelet-client"),)) in peers[0]["subject"]  # type: ignore[operator]


def kubeconfig_subject(path: Path) -> str:
    import base64

    from cryptography import x509

    user = yaml.safe_load(path.read_text())["users"][0]["user"]
    data = base64.b64decode(user["client-certificate-data"])
    return x509.load_pem_x509_certificate(data).subject.rfc4514_string()


def test_each_kubeconfig_speaks_for_its_own_user(data_dir: Path) -> None:
    subjects = {p.name: kubeconfig_subject(p) for p in data_dir.rglob("*.kubeconfig")}
    assert subjects == {
        "admin.kubeconfig": "CN=kubernetes-admin,O=system:masters",
        "controllers.kubeconfig": "CN=system:kube-controller-manager",
        "scheduler.kubeconfig": "CN=system:kube-scheduler",
        "node-node-a.kubeconfig": "CN=system:node:node-a,O=system:nodes",
    }
    config = yaml.safe_load((data_dir / "admin.kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:7443"


def test_certificates_near_their_end_are_renewed_by_the_same_ca(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_files(data_dir)
    later = pki._now() + datetime.timedelta(days=300)
    monkeypatch.setattr(pki, "_now", lambda: later)
    pki.create_pki(data_dir, ["node-a"], "127.0.0.1", 7443)
    changed = {path for path, content in all_files(data_dir).items() if content != before[path]}
    kept = {path for path in before if "/pki/ca." in path or path.endswith("/pki/sa.key")}
    assert set(before) - kept == changed


def test_a_new_host_renews_the_serving_certificates_and_the_kubeconfigs(data_dir: Path) -> None:
    before = all_files(data_dir)
    pki.create_pki(data_dir, ["node-a"], "192.0.2.7", 7443)
    changed = {path for path, text in all_files(data_dir).items() if text != before[path]}
    assert str(data_dir / "pki/apiserver.crt") in changed
    assert str(data_dir / "pki/apiserver-kubelet-client.crt") not in changed
    assert "https://192.0.2.7:7443" in (data_dir / "admin.kubeconfig").read_text()


def test_a_key_that_does_not_belong_to_its_certificate_is_replaced(data_dir: Path) -> None:
    stray = (data_dir / "pki/ca.key").read_bytes()
    (data_dir / "pki/apiserver.key").write_bytes(stray)
    pki.create_pki(data_dir, ["node-a"], "127.0.0.1", 7443)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(data_dir / "pki/apiserver.crt", data_dir / "pki/apiserver.key")
    assert (data_dir / "pki/ca.key").read_bytes() == stray
