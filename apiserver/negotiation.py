"""Which form of an answer a client wants, by its Accept header. Room apiserver; called by
verbs.py."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from apiserver.errors import ApiError
from podium.api import status

JSON = "application/json"
YAML = "application/yaml"
_JSON_RANGES = (JSON, "application/*", "*/*")
SERVED = f"{JSON}, {YAML}"

Form = Literal["object", "table", "partial"]
_FORMS: dict[str, Form] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form of the body, in JSON or YAML."""

    form: Form = "object"
    media_type: str = JSON


@lru_cache(maxsize=256)
def wanted(accept: str) -> Wanted:
    """The first form of the header that is served; ApiError 406 when none is."""
    if not accept.strip():
        return Wanted()
    for media_range in accept.split(","):
        media_type, *parameters = (part.strip() for part in media_range.split(";"))
        given = dict(p.split("=", 1) for p in parameters if "=" in p)
        form = _form(given)
        if form is None:
            continue
        if media_type in _JSON_RANGES:
            return Wanted(form)
        if media_type in (YAML, "application/x-yaml"):
            return Wanted(form, YAML)
    raise ApiError(status.not_acceptable(SERVED))


def _form(given: dict[str, str]) -> Form | None:
    kind = given.get("as")
    if kind is None:
        return "object"
    if given.get("g") != "meta.k8s.io" or given.get("v") not in ("v1", "v1beta1"):
        return None
    return _FORMS.get(kind)
