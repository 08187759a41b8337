"""Room podium/cli: the cluster's certificates and kubeconfigs.

Called by `podium up` before anything is started, and by tests that need a real TLS identity. It
writes files below the data directory and touches nothing else.

    D/pki/ca.{crt,key}                            signs everything below, 10 years
    D/pki/apiserver.{crt,key}                     what https://127.0.0.1:6443 shows
    D/pki/sa.key                                  signs the tokens of ServiceAccounts
    D/pki/apiserver-kubelet-client.{crt,key}      how the API server calls a kubelet
    D/pki/kubelet-<node>.{crt,key}                what a kubelet's HTTPS port shows
    D/pki/{controllers,scheduler,node-<node>}.kubeconfig, D/admin.kubeconfig
"""

from __future__ import annotations

import base64
import datetime
import functools
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from podium.cli.cluster_config import ANY_ADDRESS, reachable_host

CA_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=90)
# Machines that boot without a clock are often a little behind when they catch up.
CLOCK_SKEW = datetime.timedelta(hours=1)
SERVICE_IP = "10.96.0.1"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate speaks for: `user` is the CN, `groups` are the O's."""

    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # empty: a client certificate; else the serving names


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the certificate that belongs to it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8, unencrypted."""
        return self.pem_of(self.key)

    @staticmethod
    def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone (the CA is handed out beside it)."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def create_pki(
    data_dir: str | Path, node_names: Iterable[str], host: str = "127.0.0.1", port: int = 6443
) -> None:
    """Make every key, certificate and kubeconfig that is missing, wrong or close to its end.

    Safe to call at every start: what is still good is left as it is, byte for byte.
    """
    data = Path(data_dir)
    pki = data / "pki"
    for directory in (data, pki):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    ca = _ensure_ca(pki)
    _ensure_pair(pki, "apiserver", ca, Identity("kube-apiserver", hosts=_apiserver_names(host)))
    _ensure_pair(
        pki,
        "apiserver-kubelet-client",
        ca,
        Identity("kube-apiserver-kubelet-client", ("kubelets",)),
    )
    _ensure_signing_key(pki / "sa.key")
    server = f"https://{_bracketed(reachable_host(host))}:{port}"
    clients = {
        data / "admin.kubeconfig": Identity("kubernetes-admin", ("system:masters",)),
        pki / "controllers.kubeconfig": Identity("system:kube-controller-manager"),
        pki / "scheduler.kubeconfig": Identity("system:kube-scheduler"),
    }
    for node in node_names:
        serving = Identity(
            f"system:node:{node}", ("system:nodes",), hosts=_serving_names(host, node)
        )
        _ensure_pair(pki, f"kubelet-{node}", ca, serving)
        clients[pki / f"node-{node}.kubeconfig"] = Identity(
            f"system:node:{node}", ("system:nodes",)
        )
    for path, identity in clients.items():
        _ensure_kubeconfig(path, ca, identity, server)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _serving_names(host: str, *more: str) -> tuple[str, ...]:
    names = ["127.0.0.1", "::1", "localhost", *more, *_addresses_of(host)]
    return tuple(dict.fromkeys(names))


def _apiserver_names(host: str) -> tuple[str, ...]:
    in_cluster = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return _serving_names(
        host, socket.gethostname(), *in_cluster, "kubernetes.default.svc.cluster.local", SERVICE_IP
    )


def _addresses_of(host: str) -> list[str]:
    """The names others may use for `host`; for "any address", what this machine is called by."""
    if host not in ANY_ADDRESS:
        return [host]
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []  # a hostname that resolves to nothing: 127.0.0.1 must do
    return sorted({str(address[4][0]) for address in found if "%" not in str(address[4][0])})


# --- certificates -------------------------------------------------------------------------------


def _ensure_ca(pki: Path) -> KeyPair:
    found = _read_pair(pki / "ca.crt", pki / "ca.key")
    if found and not _is_near_expiry(found.certificate, CA_LIFETIME / 10):
        return found
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("podium-ca")
    builder = _builder(name, name, key.public_key(), key.public_key(), CA_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(is_ca=True), critical=True)
    ca = KeyPair(key, builder.sign(key, hashes.SHA256()))
    _write_pair(pki, "ca", ca)
    return ca


def _ensure_pair(pki: Path, name: str, ca: KeyPair, identity: Identity) -> None:
    found = _read_pair(pki / f"{name}.crt", pki / f"{name}.key")
    if found is None or not _is_good(found.certificate, ca, identity):
        _write_pair(pki, name, _issue(ca, identity))


def _ensure_signing_key(path: Path) -> None:
    """Kept as long as the cluster lives: with another one every token is void."""
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, KeyPair.pem_of(key))


def _issue(ca: KeyPair, identity: Identity) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if identity.hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = _builder(
        _name(identity.user, identity.groups),
        ca.certificate.subject,
        key.public_key(),
        ca.key.public_key(),
        LEAF_LIFETIME,
    )
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )
    if identity.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in identity.hosts])
        builder = builder.add_extension(names, critical=False)
    return KeyPair(key, builder.sign(ca.key, hashes.SHA256()))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(user: str, groups: tuple[str, ...] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    # X.509 allows a common name of 64 characters; a node name may have 63 and a prefix.
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user, _validate=len(user) <= 64))
    return x509.Name(attributes)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_good(certificate: x509.Certificate, ca: KeyPair, identity: Identity) -> bool:
    """Whether a certificate found on disk may go on being used."""
    if _is_near_expiry(certificate, RENEW_BEFORE):
        return False
    if certificate.subject != _name(identity.user, identity.groups):
        return False
    if set(identity.hosts) - set(_hosts_of(certificate)):
        return False
    return _is_signed_by(certificate, ca)


def _is_signed_by(certificate: x509.Certificate, ca: KeyPair) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _hosts_of(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]


def _is_near_expiry(certificate: x509.Certificate, margin: datetime.timedelta) -> bool:
    return certificate.not_valid_after_utc - _now() < margin


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# --- files --------------------------------------------------------------------------------------


def _read_pair(certificate: Path, key: Path) -> KeyPair | None:
    try:
        return _parse_pair(certificate.read_bytes(), key.read_bytes())
    except FileNotFoundError:
        return None


def _parse_pair(certificate_pem: bytes, key_pem: bytes) -> KeyPair | None:
    """The pair, or None if the two do not belong together (a crash between two writes)."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, password=None)
    except ValueError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        return None
    return KeyPair(key, certificate)


def _write_pair(pki: Path, name: str, pair: KeyPair) -> None:
    write_private(pki / f"{name}.key", pair.key_pem)
    write_private(pki / f"{name}.crt", pair.certificate_pem)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


# --- kubeconfigs --------------------------------------------------------------------------------


def _ensure_kubeconfig(path: Path, ca: KeyPair, identity: Identity, server: str) -> None:
    found = _read_kubeconfig(path)
    if found and found["server"] == server and found["ca"] == ca.certificate_pem:
        pair = _parse_pair(found["certificate"], found["key"])
        if pair and _is_good(pair.certificate, ca, identity):
            path.chmod(0o600)
            return
    write_private(path, _kubeconfig(ca, _issue(ca, identity), identity.user, server).encode())


def _kubeconfig(ca: KeyPair, pair: KeyPair, user: str, server: str) -> str:
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: podium
  cluster:
    server: {server}
    certificate-authority-data: {_base64(ca.certificate_pem)}
users:
- name: {user}
  user:
    client-certificate-data: {_base64(pair.certificate_pem)}
    client-key-data: {_base64(pair.key_pem)}
contexts:
- name: podium
  context:
    cluster: podium
    user: {user}
current-context: podium
preferences: {{}}
"""


@functools.cache
def _field(name: str) -> re.Pattern[str]:
    return re.compile(rf"^ +{name}: (\S+)$", re.MULTILINE)


def _read_kubeconfig(path: Path) -> dict[str, Any] | None:
    """The fields of a kubeconfig of ours; None if it is missing or somebody reshaped it."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    names = {
        "server": "server",
        "ca": "certificate-authority-data",
        "certificate": "client-certificate-data",
        "key": "client-key-data",
    }
    found: dict[str, Any] = {}
    for ours, theirs in names.items():
        matches = _field(theirs).findall(text)
        if len(matches) != 1:
            return None
        found[ours] = matches[0] if ours == "server" else base64.b64decode(matches[0])
    return found


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
