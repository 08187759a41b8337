"""Where a registry is asked: containerd's hosts directory, and registries.conf for short names.

    <certs.d>/<host[:port]>/hosts.toml   mirrors, plain http, CAs, client certificates, headers
    <certs.d>/<host[:port]>/*.crt        without a hosts.toml: CAs, as docker has them
    <certs.d>/_default/hosts.toml        for every registry without a directory
    registries.conf                      unqualified-search-registries = ["registry.local:5000"]

Room kubelet/images. Read anew for each pull, so that a change needs no restart.
Sources: containerd `docs/hosts.md`; containers-registries.conf(5).
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubelet.images.errors import PullFailed
from kubelet.images.reference import DEFAULT_REGISTRY

_CAPABILITIES = ("pull", "resolve", "push")


@dataclass(frozen=True)
class Endpoint:
    """One way to a registry."""

    scheme: str
    netloc: str  # "registry.local:5000"
    path: str = "/v2"
    capabilities: tuple[str, ...] = _CAPABILITIES
    ca: tuple[str, ...] = ()  # files
    client: tuple[tuple[str, str], ...] = ()  # (certificate, key or "")
    skip_verify: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    is_mirror: bool = False

    def tls(self) -> ssl.SSLContext:
        """Raises PullFailed for a certificate that cannot be read."""
        context = ssl.create_default_context()
        try:
            for path in self.ca:
                context.load_verify_locations(path)
            for certificate, key in self.client:
                context.load_cert_chain(certificate, key or None)
        except (OSError, ssl.SSLError) as failure:
            raise PullFailed(f"a certificate for {self.netloc}: {failure}") from failure
        if self.skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Registries:
    """`directory` holds certs.d/ and registries.conf; neither need be there."""

    def __init__(self, directory: Path) -> None:
        self._hosts = directory / "certs.d"
        self._conf = directory / "registries.conf"

    @property
    def conf(self) -> Path:
        return self._conf

    def search(self) -> list[str]:
        """Where names without a registry are looked for: hosts, perhaps with a path. Raises
        PullFailed for a file that makes no sense."""
        found = _read_toml(self._conf).get("unqualified-search-registries") or []
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise PullFailed(f"{self._conf}: unqualified-search-registries is no list of names")
        return [each.rstrip("/") for each in found]

    def candidates(self, full_name: str) -> list[str]:
        """The full names to ask for, in this order: the one that was given, or where names without
        a registry are looked for. Raises PullFailed."""
        registry, _, path = full_name.partition("/")
        if registry != DEFAULT_REGISTRY or self.is_configured(registry):
            return [full_name]
        places = self.search()
        if not places:
            raise PullFailed(
                f"the name of the image has no registry in it, and no registry is configured for "
                f"such names (unqualified-search-registries in {self._conf})"
            )
        return [f"{place}/{path.removeprefix('library/')}" for place in places]

    def endpoints(self, registry: str) -> list[Endpoint]:
        """Mirrors first, the registry itself last. Raises PullFailed."""
        directory = self._directory(registry) or self._directory("_default")
        if directory is None:
            return _plain(registry)
        if not (directory / "hosts.toml").is_file():
            ca = tuple(str(path) for path in sorted(directory.glob("*.crt")))
            pairs = [(str(p), str(p.with_suffix(".key"))) for p in sorted(directory.glob("*.cert"))]
            return [Endpoint("https", registry, ca=ca, client=tuple(pairs))]
        said = _read_toml(directory / "hosts.toml")
        try:
            return _described(said, registry, directory)
        except (TypeError, ValueError, AttributeError) as failure:
            raise PullFailed(f"{directory / 'hosts.toml'}: {failure}") from failure

    def is_configured(self, registry: str) -> bool:
        return self._directory(registry) is not None

    def _directory(self, registry: str) -> Path | None:
        """ "host:port" or, where file names may have no colon, "host_port_"."""
        for name in (registry, f"{registry.replace(':', '_')}_"):
            if (self._hosts / name).is_dir():
                return self._hosts / name
        return None


def _plain(registry: str) -> list[Endpoint]:
    """Nothing is configured: https, on this machine itself also without TLS, as with docker."""
    https = Endpoint("https", registry)
    return [https, Endpoint("http", registry)] if is_loopback(registry) else [https]


def is_loopback(netloc: str) -> bool:
    name = urlsplit(f"//{netloc}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _described(said: dict[str, Any], registry: str, directory: Path) -> list[Endpoint]:
    found = [
        _endpoint(url, how, directory, is_mirror=True)
        for url, how in (said.get("host") or {}).items()
    ]
    server = str(said.get("server") or f"https://{registry}")
    return [*found, _endpoint(server, said, directory, is_mirror=False)]


def _endpoint(url: str, how: dict[str, Any], directory: Path, *, is_mirror: bool) -> Endpoint:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"not an address of a registry: {url!r}")
    path = parts.path.rstrip("/")
    if not how.get("override_path") and not path.endswith("/v2"):
        path += "/v2"
    return Endpoint(
        parts.scheme,
        parts.netloc,
        path,
        capabilities=tuple(how.get("capabilities") or _CAPABILITIES),
        ca=tuple(str(directory / name) for name in _names(how.get("ca"))),
        client=tuple(_pairs(how.get("client"), directory)),
        skip_verify=bool(how.get("skip_verify")),
        headers=tuple((k, ", ".join(_names(v))) for k, v in (how.get("header") or {}).items()),
        is_mirror=is_mirror,
    )


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(each) for each in value]


def _pairs(value: Any, directory: Path) -> list[tuple[str, str]]:
    """ "both.pem", or ["cert.pem", …], or [["cert.pem", "key.pem"], …]."""
    each = [value] if isinstance(value, str) else list(value or ())
    pairs = [(one, "") if isinstance(one, str) else tuple(one) for one in each]
    return [(str(directory / cert), str(directory / key) if key else "") for cert, key in pairs]


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as failure:
        raise PullFailed(f"{path}: {failure}") from failure
