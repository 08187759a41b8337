"""Room podium/cli: `D/cluster.json`, what every process of a cluster is told at its start.

Written by `podium up` alone; read by every component and by the other verbs. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podium.api.history_limit import DEFAULT, HistoryLimit, parse_history_limit

DEFAULT_DATA_DIR = "/var/lib/podium"
DEFAULT_PORT = 6443
SIMULATED = "simulated"  # the runtime of a node that only says what a real one would say
ANY_ADDRESS = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node of this machine, e.g. `NodeConfig("host", "10.244.0.0/24", "podium-a1b2c3", …)`."""

    name: str
    pod_cidr: str
    bridge: str
    cgroup_root: str
    runtime: str = "podium"  # the container engine: "podium", "containerd" or SIMULATED


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What `D/cluster.json` says. `id` is six hex digits, in the name of every kernel object."""

    id: str
    host: str
    port: int
    database: str
    pod_cidr: str
    nodes: tuple[NodeConfig, ...] = field(default=())
    lab: bool = False  # whether faults may be injected
    history: HistoryLimit = DEFAULT
    otlp_endpoint: str = ""  # a collector that spans are handed on to

    @property
    def is_simulated(self) -> bool:
        """Whether it makes no container, and so needs no root."""
        return all(node.runtime == SIMULATED for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """The file's own form (camelCase)."""
        return {
            "id": self.id,
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "podCIDR": self.pod_cidr,
            "lab": self.lab,
            "history": str(self.history),
            "otlpEndpoint": self.otlp_endpoint,
            "nodes": [
                {
                    "name": node.name,
                    "podCIDR": node.pod_cidr,
                    "bridge": node.bridge,
                    "cgroupRoot": node.cgroup_root,
                    "runtime": node.runtime,
                }
                for node in self.nodes
            ],
        }


def config_path(data_dir: str | Path) -> Path:
    """Where a data directory keeps its cluster.json."""
    return Path(data_dir) / "cluster.json"


def read(data_dir: str | Path) -> ClusterConfig | None:
    """The cluster of a data directory; None if there is none yet.

    Raises ValueError, naming the file, if it cannot be understood.
    """
    path = config_path(data_dir)
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    try:
        nodes = tuple(
            NodeConfig(
                node["name"],
                node["podCIDR"],
                node["bridge"],
                node["cgroupRoot"],
                node.get("runtime", "podium"),  # clusters of 0.1 do not say
            )
            for node in raw["nodes"]
        )
        history = parse_history_limit(raw["history"]) if "history" in raw else DEFAULT
        return ClusterConfig(
            raw["id"], raw["host"], int(raw["port"]), raw["database"], raw["podCIDR"], nodes,
            history=history, lab=bool(raw.get("lab")),
            otlp_endpoint=str(raw.get("otlpEndpoint", "")),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a cluster of podium's: {error} is missing") from error


def write(data_dir: str | Path, config: ClusterConfig) -> None:
    """Write cluster.json, whole or not at all; only its owner may read it (database URLs)."""
    path = config_path(data_dir)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w") as file:
        json.dump(config.to_json(), file, indent=2)
        file.write("\n")
    temporary.replace(path)


def reachable_host(host: str) -> str:
    """The address to dial for a server that listens on `host` ("0.0.0.0" is not one)."""
    return "127.0.0.1" if host in ANY_ADDRESS else host


def server_url(config: ClusterConfig) -> str:
    """Where the API is served, e.g. "https://127.0.0.1:6443"."""
    host = reachable_host(config.host)
    return f"https://[{host}]:{config.port}" if ":" in host else f"https://{host}:{config.port}"


def single_node(
    cluster_id: str,
    data_dir: str | Path,
    *,
    host: str,
    port: int,
    pod_cidr: str,
    node_name: str,
    database: str | None = None,
    runtime: str = "podium",
    history: HistoryLimit | None = None,
) -> ClusterConfig:
    """A cluster of one node on this machine; without a database URL, SQLite in its directory."""
    name = f"podium-{cluster_id}"
    return ClusterConfig(
        id=cluster_id,
        host=host,
        port=port,
        database=database or f"sqlite:///{Path(data_dir).absolute()}/podium.db",
        pod_cidr=pod_cidr,
        nodes=(NodeConfig(node_name, node_subnet(pod_cidr, 0), name, name, runtime),),
        history=history or DEFAULT,
    )


def with_fake_nodes(config: ClusterConfig, count: int) -> ClusterConfig:
    """The same cluster with simulated nodes, fake-1 to fake-N, instead of this machine."""
    nodes = (
        NodeConfig(f"fake-{n + 1}", node_subnet(config.pod_cidr, n), "", "", SIMULATED)
        for n in range(count)
    )
    return dataclasses.replace(config, nodes=tuple(nodes))


def node_subnet(pod_cidr: str, index: int) -> str:
    """The n-th /24 of the Pod network (the whole of it, if it is a /24 or smaller)."""
    import ipaddress

    network = ipaddress.ip_network(pod_cidr)
    if network.prefixlen >= 24:
        return str(network)
    first = int(network.network_address) + index * 256
    return f"{ipaddress.ip_address(first)}/24"
