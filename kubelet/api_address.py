"""Where a container finds the API server: the environment of the Service `kubernetes`. Pure.

Room kubelet; called by container_config.py. A Pod with an address of its own uses the Service's,
which the node's rules lead to the API server (network/firewall.py); one in the host's network uses
the API server's. The server's certificate names both. Source: kubelet `pkg/kubelet/envvars`.
"""

from __future__ import annotations

SERVICE_ADDRESS, SERVICE_PORT = "10.96.0.1", 443
_ANY = ("0.0.0.0", "::", "")


def server_address(host: str, port: int) -> tuple[str, int]:
    """Where this machine reaches a server that listens on `host` ("0.0.0.0" is no address)."""
    return ("127.0.0.1" if host in _ANY else host), port


def services(host: str, port: int) -> dict[tuple[str, int], tuple[str, int]]:
    """What the node's rules are to do for Pods; they are of IPv4 alone."""
    real = server_address(host, port)
    return {} if ":" in real[0] else {(SERVICE_ADDRESS, SERVICE_PORT): real}


def service_environment(host: str, port: int) -> dict[str, str]:
    """What every container has, whatever enableServiceLinks says."""
    shown = f"[{host}]" if ":" in host else host
    url = f"tcp://{shown}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": str(port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        "KUBERNETES_PORT": url,
        f"KUBERNETES_PORT_{port}_TCP": url,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_PORT": str(port),
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
    }
