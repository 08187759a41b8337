"""Claims and volumes as they come to be: protected, with a default class; and growing ones.

Room apiserver; called by admission.py and verbs.py. Source: Kubernetes' admission plugins
StorageObjectInUseProtection, DefaultStorageClass and PersistentVolumeClaimResize, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver import listing
from apiserver.errors import ApiError
from apiserver.storage import Store
from podium.api import quantity, status
from podium.api.scheme import Resource, resource

Object = dict[str, Any]

CLASSES = resource("storageclasses")
_FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
}
_DEFAULT_MARKS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_CANNOT_GROW = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
    "must support resize"
)


def protect(kind: Resource, obj: Object) -> None:
    """What is in use must not go before its user."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if _FINALIZERS[kind.key] not in finalizers:
        finalizers.append(_FINALIZERS[kind.key])


def fill_in_class(store: Store, claim: Object) -> None:
    """A claim that says nothing of its class (not even "") gets the default one: of several the
    youngest, of those the first by name."""
    spec = claim.setdefault("spec", {})
    annotations = claim["metadata"].get("annotations") or {}
    if spec.get("storageClassName") is not None or (
        "volume.beta.kubernetes.io/storage-class" in annotations
    ):
        return
    marked = [found for found in _classes(store) if _is_default(found)]
    if marked:
        marked.sort(key=lambda found: str(found["metadata"]["name"]))
        marked.sort(key=lambda found: str(found["metadata"]["creationTimestamp"]), reverse=True)
        spec["storageClassName"] = marked[0]["metadata"]["name"]


def _classes(store: Store) -> list[Object]:
    pages = listing.pages(store, CLASSES, listing.Filter(None))
    return [record.object for page in pages for record in page.records]


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(mark) == "true" for mark in _DEFAULT_MARKS)


def check_growth(store: Store, new: Object, old: Object) -> None:
    """A bound claim may ask for more if its class lets volumes grow; ApiError 403."""
    if _requested(new) <= _requested(old):
        return
    kind, name = resource("persistentvolumeclaims"), old["metadata"]["name"]
    if (old.get("status") or {}).get("phase") != "Bound":
        raise ApiError(status.forbidden(kind, name, "Only bound persistent volume claims can be "
                                        "expanded"))  # fmt: skip
    class_name = (old.get("spec") or {}).get("storageClassName")
    record = store.get(CLASSES.key, "", class_name) if class_name else None
    if record is None or not record.object.get("allowVolumeExpansion"):
        raise ApiError(status.forbidden(kind, name, _CANNOT_GROW))


def _requested(claim: Object) -> Any:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", 0))
