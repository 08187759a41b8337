"""What a Pod gets by its ServiceAccount: the account itself, a token in a volume, pull secrets.

Room apiserver; called by admission.py on the creation of a Pod.
Source: Kubernetes' admission plugin ServiceAccount, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.errors import ApiError
from apiserver.storage import Store
from apiserver.strategies import generated_name
from podium.api import status
from podium.api.scheme import resource

Object = dict[str, Any]

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access-"
TOKEN_LIFETIME_S = 3607  # Kubernetes' odd number, by which it knows its own


def admit(store: Store, pod: Object) -> None:
    """ApiError 403 for an account that there is not. The default one may be a moment late."""
    spec, about = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or DEFAULT_ACCOUNT
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    record = store.get("serviceaccounts", about["namespace"], name)
    if record is None and name != DEFAULT_ACCOUNT:
        why = (
            f"error looking up service account {about['namespace']}/{name}: serviceaccount "
            f'"{name}" not found'
        )
        raise ApiError(status.forbidden(resource("pods"), about.get("name", ""), why))
    account = record.object if record is not None else {}
    if _wants_token(spec, account):
        _mount_token(spec)
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = list(account["imagePullSecrets"])


def _wants_token(spec: Object, account: Object) -> bool:
    """The Pod's word counts before its account's; without either it is yes."""
    for said in (spec, account):
        if said.get("automountServiceAccountToken") is not None:
            return bool(said["automountServiceAccountToken"])
    return True


def _mount_token(spec: Object) -> None:
    """In every container that has nothing else at that place."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    without = [c for c in containers if not _has_mount(c)]
    if not without:
        return
    name = generated_name(TOKEN_VOLUME)
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "projected": _projected()}]


def _has_mount(container: Object) -> bool:
    mounts = container.get("volumeMounts") or ()
    return any(str(m.get("mountPath", "")).rstrip("/") == MOUNT_PATH for m in mounts)


def _projected() -> Object:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_S, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt",
                           "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": 0o644,
    }  # fmt: skip
