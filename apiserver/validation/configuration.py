"""Rules for ConfigMaps and Secrets. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    immutable,
    invalid,
    is_same,
    required,
    too_long,
)
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

MAX_BYTES = 1 << 20  # of the values of a ConfigMap or a Secret together
_LOCKED = "field is immutable when `immutable` is set"

# What a Secret of a type must hold; the first list is of keys that must all be there.
_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_SERVICE_ACCOUNT = "kubernetes.io/service-account.name"


def validate_config_map(config_map: Object) -> list[Cause]:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    causes: list[Cause] = []
    for key in data:
        causes += each_invalid(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            causes.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        causes += each_invalid(f"binaryData[{key}]", key, names.config_key(key))
        if key in data:
            causes.append(invalid(f"binaryData[{key}]", key, "duplicate of key present in data"))
    size = sum(len(v.encode()) for v in data.values()) + sum(map(_decoded_size, binary.values()))
    return [*causes, too_long("", MAX_BYTES)] if size > MAX_BYTES else causes


def validate_config_map_update(new: Object, old: Object) -> list[Cause]:
    return _locked(new, old, ("data", "binaryData")) + validate_config_map(new)


def validate_secret(secret: Object) -> list[Cause]:
    data = secret.get("data") or {}
    causes: list[Cause] = []
    for key in data:
        causes += each_invalid(f"data[{key}]", key, names.config_key(key))
    if sum(map(_decoded_size, data.values())) > MAX_BYTES:
        causes.append(too_long("data", MAX_BYTES))
    return causes + _secret_type(secret, data)


def validate_secret_update(new: Object, old: Object) -> list[Cause]:
    causes = immutable("type", new.get("type", ""), old.get("type", ""))
    return causes + _locked(new, old, ("data",)) + validate_secret(new)


def _secret_type(secret: Object, data: dict[str, str]) -> list[Cause]:
    kind = secret.get("type", "")
    if kind == "kubernetes.io/service-account-token":
        annotations = (secret.get("metadata") or {}).get("annotations") or {}
        if not annotations.get(_SERVICE_ACCOUNT):
            return [required(f"metadata.annotations[{_SERVICE_ACCOUNT}]")]
        return []
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        return [required("data[username]"), required("data[password]")]
    causes = [required(f"data[{k}]") for k in _SECRET_KEYS.get(kind, ()) if k not in data]
    if not causes and kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        causes += _json_value(data, _SECRET_KEYS[kind][0])
    return causes


def _json_value(data: dict[str, str], key: str) -> list[Cause]:
    try:
        json.loads(base64.b64decode(data[key]))
    except ValueError as failure:
        return [invalid(f"data[{key}]", "<secret contents redacted>", str(failure))]
    return []


def _locked(new: Object, old: Object, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = [] if new.get("immutable") else [forbidden("immutable", _LOCKED)]
    return causes + [forbidden(f, _LOCKED) for f in fields if not is_same(new.get(f), old.get(f))]


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")
