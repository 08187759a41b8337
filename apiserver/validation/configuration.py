"""ConfigMaps and Secrets."""

from __future__ import annotations

import base64
from typing import Any

from apiserver.validation.causes import IMMUTABLE, each, forbidden, invalid, required, too_long
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

MAX_BYTES = 1024 * 1024
_NEEDS = {
    "kubernetes.io/basic-auth": (),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}


def validate_configmap(configmap: Object, causes: list[Cause]) -> None:
    data, binary = configmap.get("data") or {}, configmap.get("binaryData") or {}
    for key in data:
        each(f"data[{key}]", key, names.config_key(key), causes)
        if key in binary:
            causes.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        each(f"binaryData[{key}]", key, names.config_key(key), causes)
    size = sum(len(v.encode()) for v in data.values()) + sum(len(v) * 3 // 4 for v in binary.values())
    if size > MAX_BYTES:
        causes.append(too_long("", MAX_BYTES))


def validate_secret(secret: Object, causes: list[Cause]) -> None:
    data = secret.get("data") or {}
    for key in data:
        each(f"data[{key}]", key, names.config_key(key), causes)
    if sum(len(base64.b64decode(v)) for v in data.values()) > MAX_BYTES:
        causes.append(too_long("data", MAX_BYTES))
    for key in _NEEDS.get(secret.get("type", ""), ()):
        if key not in data:
            causes.append(required(f"data[{key}]"))


def validate_immutable(new: Object, old: Object, causes: list[Cause]) -> None:
    """What `immutable: true` keeps from changing, itself included."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        causes.append(forbidden("immutable", "field is immutable when `immutable` is set"))
    for name in ("data", "binaryData"):
        if (new.get(name) or {}) != (old.get(name) or {}):
            causes.append(forbidden(name, "field is immutable when `immutable` is set"))


def validate_secret_update(new: Object, old: Object, causes: list[Cause]) -> None:
    if new.get("type") != old.get("type"):
        causes.append(invalid("type", new.get("type", ""), IMMUTABLE))
    validate_immutable(new, old, causes)
