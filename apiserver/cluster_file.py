"""What the API server is told at its start: D/cluster.json and where its keys are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiserver.errors import ServerError
from podium.api.history_limit import DEFAULT, HistoryLimit, parse_history_limit


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`database` is a SQLAlchemy URL; `pki` the directory with ca.crt, apiserver.{crt,key} and
    sa.key."""

    host: str
    port: int
    database: str
    pki: Path
    is_lab: bool = False  # whether faults may be injected
    otlp_endpoint: str = ""  # the collector that podium.otlp hands spans on to; told, not used
    history: HistoryLimit = DEFAULT


def read_config(data_dir: Path) -> ServerConfig:
    """Raises ServerError that names the file."""
    path = data_dir / "cluster.json"
    try:
        found = json.loads(path.read_text())
        config = ServerConfig(
            found["host"], int(found["port"]), found["database"], data_dir / "pki",
            history=_history(found), is_lab=bool(found.get("lab")),
            otlp_endpoint=str(found.get("otlpEndpoint", "")),
        )  # fmt: skip
    except OSError as error:
        raise ServerError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{path} is not a cluster's configuration: {error!r}") from error
    for name in ("ca.crt", "apiserver.crt", "apiserver.key", "sa.key"):
        if not (config.pki / name).is_file():
            raise ServerError(f"{config.pki / name} is missing")
    return config


def _history(found: dict[str, Any]) -> HistoryLimit:
    """Clusters of 0.1 do not say."""
    return parse_history_limit(found["history"]) if "history" in found else DEFAULT
