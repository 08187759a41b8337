"""Objects as bytes: how a body is laid out so that a revision can be spliced in without parsing.

Room apiserver; used by storage.py, watch.py and verbs.py. Pure functions. Every stored body starts
with kind, apiVersion and metadata's name, namespace, uid and resourceVersion, so that the first
"resourceVersion" in it is the object's own: what comes before is validated text without quotes.
"""

from __future__ import annotations

from typing import Any

import orjson

Object = dict[str, Any]

_FIRST = ("name", "generateName", "namespace", "uid", "resourceVersion")
_PLACE = b'"resourceVersion":""'


def template(obj: Object) -> bytes:
    """The object's JSON with an empty resourceVersion, for `with_revision`."""
    given = obj["metadata"]
    metadata = {name: given[name] for name in _FIRST[:4] if name in given}
    metadata["resourceVersion"] = ""
    for name, value in given.items():
        if name not in _FIRST:
            metadata[name] = value
    laid_out = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    for name, value in obj.items():
        if name not in laid_out:
            laid_out[name] = value
    return orjson.dumps(laid_out)


def with_revision(template: bytes, rv: int) -> bytes:
    return template.replace(_PLACE, b'"resourceVersion":"%d"' % rv, 1)


def at_revision(body: bytes, rv: int, new_rv: int) -> bytes:
    """A stored body of revision `rv`, saying `new_rv`."""
    return body.replace(b'"resourceVersion":"%d"' % rv, b'"resourceVersion":"%d"' % new_rv, 1)


def parse(body: bytes) -> Object:
    """A stored body as an object."""
    obj: Object = orjson.loads(body)
    return obj
