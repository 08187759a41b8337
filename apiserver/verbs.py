"""The verbs, the same for every kind: create, get, list, watch, update, patch, delete.

Room apiserver; called by routes.py, with one Call each, in a greenlet. A write reads the object,
works out the new one, and stores it only if nobody was faster; a patch then tries again on the
newer one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from apiserver import (
    admission,
    bodies,
    causes_in_lists,
    deletion,
    listing,
    merge,
    shapes,
    strategies,
    wire,
)
from apiserver.errors import ApiError, Conflicted
from apiserver.http_server import Connection
from apiserver.negotiation import JSON, YAML, Wanted, wanted
from apiserver.request_info import Call
from apiserver.storage import Compacted, Page, Record, Store
from apiserver.validation import (
    validate_create,
    validate_ephemeral_update,
    validate_resize_update,
    validate_status_update,
    validate_update,
)
from apiserver.watch import DEFAULT_TIMEOUT_S, WatchHub, WatchOptions, stream
from podium.api import status
from podium.api.defaults import apply_defaults
from podium.api.scheme import Resource

Object = dict[str, Any]

RETRIES = 10  # of a patch or a delete that loses against another writer
GENERATED_NAME_TRIES = 8

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
_APPLY_TYPES = ("application/apply-patch+yaml", "application/apply-patch+cbor")


@dataclass(slots=True)
class Reply:
    """What routes.py answers with. `body` is bytes, or pieces that are sent as they come."""

    code: int
    body: bytes | Iterator[bytes]
    media_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)


def reply_object(code: int, obj: Object) -> Reply:
    return Reply(code, orjson.dumps(obj))


# Of subresources that change a part of an object.
_VALIDATE = {
    "status": validate_status_update,
    "ephemeralcontainers": validate_ephemeral_update,
    "resize": validate_resize_update,
}


class Verbs:
    """One per server."""

    def __init__(self, store: Store, hub: WatchHub) -> None:
        self.store = store
        self.hub = hub

        self._by_verb: dict[str, Callable[[Call], Reply]] = {
            "get": self.get,
            "list": self.list_all,
            "watch": self.watch,
            "create": self.create,
            "update": self.update,
            "patch": self.patch,
            "delete": self.delete,
            "deletecollection": self.deletecollection,
        }

    def handle(self, call: Call) -> Reply:
        """Answer a request for an object or a collection."""
        return self._by_verb[call.verb](call)

    # ---- reading ----------------------------------------------------------------------------

    def get(self, call: Call) -> Reply:
        return self.answer(call, 200, self.find(call))

    def find(self, call: Call) -> Record:
        """The object that a call names; ApiError 404."""
        return self.find_named(call.resource, call.key_namespace, call.required_name())

    def find_named(self, resource: Resource, namespace: str, name: str) -> Record:
        record = self.store.get(resource.key, namespace, name)
        if record is None:
            raise ApiError(status.not_found(resource, name))
        return record

    def answer(self, call: Call, code: int, record: Record, now: datetime | None = None) -> Reply:
        """An object in the form that the client accepts; ages in a table count to `now`."""
        form = wanted(call.environ.get("HTTP_ACCEPT", ""))
        body = shapes.one(form, call.resource, record, call.query.get("includeObject", ""), now=now)
        return _encoded(code, body, form)

    def list_all(self, call: Call) -> Reply:
        after, at = self._start_of_list(call, _number(call, "limit"))
        return self.listed(call, after, at)

    def listed(
        self, call: Call, after: tuple[str, str], at: int | None, now: datetime | None = None
    ) -> Reply:
        """A list from behind `after`, as at revision `at` (None: now)."""
        form = wanted(call.environ.get("HTTP_ACCEPT", ""))
        include = call.query.get("includeObject", "")
        filter_ = self.filter(call)
        limit = _number(call, "limit")
        try:
            if limit or form.media_type == YAML:
                found = listing.select(
                    self.store, call.resource, filter_, limit, after=after, at=at
                )
                body = shapes.whole_list(form, call.resource, found, include, now=now)
                return _encoded(200, body, form)
            pages = listing.pages(self.store, call.resource, filter_, after, at)
            if form.form == "object" and causes_in_lists.are_wanted(call.environ):
                listed = causes_in_lists.ListedCauses(self.store, pages)
                return Reply(200, listed.behind(_whole(call, form, listed, now)))
            return Reply(200, _whole(call, form, pages, now))
        except Compacted as error:
            if call.query.get("continue"):
                raise listing.expired_token(after) from None
            raise listing.too_old(at or 0, error) from None

    def filter(self, call: Call) -> listing.Filter:
        query = call.query
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if call.name is not None:
            fields = f"metadata.name={call.name}"
        return listing.parse_filter(call.resource, call.namespace, labels, fields)

    def _start_of_list(self, call: Call, limit: int) -> tuple[tuple[str, str], int | None]:
        """(behind which object, as at which revision) a list begins."""
        rv = _revision(call)
        match = call.query.get("resourceVersionMatch", "")
        if match and match not in ("Exact", "NotOlderThan"):
            raise _invalid_list(f'resourceVersionMatch: Unsupported value: "{match}": supported '
            f'values: '
                                '"Exact", "NotOlderThan", ""')  # fmt: skip
        if call.query.get("continue"):
            if rv:
                raise ApiError(
                    status.bad_request(
                        "specifying resource version is not allowed when using continue"
                    )
                )
            at, after = listing.read_token(call.query["continue"])
            return after, at
        if match and rv is None:
            raise _invalid_list("resourceVersionMatch: Forbidden: resourceVersionMatch is "
            "forbidden unless "
                                "resourceVersion is provided")  # fmt: skip
        if match == "Exact" and rv == 0:
            raise _invalid_list('resourceVersionMatch: Forbidden: resourceVersionMatch "exact" '
            'is forbidden '
                                'for resourceVersion "0"')  # fmt: skip
        if rv:
            current, _ = self.store.revisions()
            if rv > current:
                raise ApiError(
                    status.too_large_resource_version(rv, current), [("Retry-After", "1")]
                )
            if match == "Exact" or (limit and not match):
                return ("", ""), rv
        return ("", ""), None

    # ---- watching ---------------------------------------------------------------------------

    def watch(self, call: Call) -> Reply:
        form = wanted(call.environ.get("HTTP_ACCEPT", ""))
        options = self._watch_options(call, form)
        connection: Connection = call.environ["podium.connection"]
        events = stream(self.hub, self.store, call.resource, options, connection)
        return Reply(200, events, headers=[("Cache-Control", "no-cache, private")])

    def _watch_options(self, call: Call, form: Wanted) -> WatchOptions:
        rv = _revision(call)
        wants_bookmarks = call.flag("allowWatchBookmarks")
        filter_ = self.filter(call)
        sends_initial = self._sends_initial(call, rv, wants_bookmarks)
        initial = None
        if sends_initial or rv is None or rv == 0:
            initial, rv = self._state(call.resource, filter_, sends_initial is not False)
        return WatchOptions(
            rv=rv,
            wants_bookmarks=wants_bookmarks,
            timeout_s=float(_number(call, "timeoutSeconds") or DEFAULT_TIMEOUT_S),
            filter=filter_,
            user=call.user,
            shape=shapes.for_watch(form, call.resource, call.query.get("includeObject", "")),
            initial=initial,
            wants_initial_end=bool(sends_initial),
            wants_causes=causes_in_lists.are_wanted(call.environ),
        )

    def _sends_initial(self, call: Call, rv: int | None, wants_bookmarks: bool) -> bool | None:
        """The `sendInitialEvents` of WatchList, None when it is not said; ApiError 422."""
        match = call.query.get("resourceVersionMatch", "")
        if "sendInitialEvents" not in call.query:
            if match:
                raise _invalid_list("resourceVersionMatch: Forbidden: resourceVersionMatch is "
                "forbidden for watch "
                                    "unless sendInitialEvents is provided")  # fmt: skip
            return None
        if match != "NotOlderThan":
            raise _invalid_list("resourceVersionMatch: Forbidden: sendInitialEvents requires "
            "setting "
                                "resourceVersionMatch to NotOlderThan")  # fmt: skip
        wants = call.flag("sendInitialEvents")
        if wants and not wants_bookmarks:
            raise _invalid_list("allowWatchBookmarks: Forbidden: sendInitialEvents requires "
            "setting "
                                "allowWatchBookmarks to true")  # fmt: skip
        if wants and rv:
            current, _ = self.store.revisions()
            if rv > current:
                raise ApiError(
                    status.too_large_resource_version(rv, current), [("Retry-After", "1")]
                )
        return wants

    def _state(
        self, resource: Resource, filter_: listing.Filter, wanted: bool
    ) -> tuple[list[Record], int]:
        """What there is now, oldest change first, and the revision of "now"."""
        if not wanted:
            return [], self.store.revisions()[0]
        records: list[Record] = []
        rv = 0
        for page in listing.pages(self.store, resource, filter_):
            rv = page.rv
            records += page.records
        records.sort(key=lambda record: record.rv)
        return records, rv

    # ---- create -----------------------------------------------------------------------------

    def create(self, call: Call) -> Reply:
        resource = call.resource
        if call.name is not None:
            raise ApiError(status.method_not_allowed(resource))
        obj = bodies.read_object(call, resource.kind)
        bodies.check_type(obj, resource)
        self._check_new(call, obj)
        return self.answer(call, 201, self.create_object(call, obj))

    def _check_new(self, call: Call, obj: Object) -> None:
        metadata = obj.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise ApiError(
                status.bad_request("resourceVersion should not be set on objects to be created")
            )
        self._place_in_namespace(call, metadata)

    def _place_in_namespace(self, call: Call, metadata: Object) -> None:
        if not call.resource.namespaced:
            metadata.pop("namespace", None)
            return
        said = metadata.get("namespace")
        if call.namespace is None:
            raise ApiError(status.method_not_allowed(call.resource))
        if said and said != call.namespace:
            raise ApiError(
                status.bad_request(
                    "the namespace of the provided object does not match the namespace sent on "
                    "the request"
                )
            )
        metadata["namespace"] = call.namespace

    def create_object(self, call: Call, obj: Object) -> Record:
        """Default, admit, check and store a decoded object."""
        resource, is_dry_run = call.resource, call.is_dry_run
        is_generated = not obj["metadata"].get("name") and bool(obj["metadata"].get("generateName"))
        apply_defaults(obj, resource)
        strategies.prepare_create(resource, obj)
        admission.admit_create(self.store, call.user, resource, obj)
        _refuse_causes(resource, obj, validate_create(resource, obj))
        for _ in range(GENERATED_NAME_TRIES):
            try:
                return self._store(resource, obj, None, is_dry_run)
            except Conflicted:
                if not is_generated:
                    break
                obj["metadata"]["name"] = strategies.generated_name(obj["metadata"]["generateName"])
        raise ApiError(status.already_exists(resource, obj["metadata"]["name"]))

    def _store(
        self,
        resource: Resource,
        obj: Object,
        before: Record | None,
        is_dry_run: bool,
        is_delete: bool = False,
    ) -> Record:
        """Write, or with dryRun=All everything but that. Raises Conflicted."""
        if not is_dry_run:
            return self.store.write(resource.key, obj, before, is_delete=is_delete)
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if before is None and self.store.get(resource.key, namespace, metadata["name"]) is not None:
            raise Conflicted
        rv = before.rv if before else 0
        body = wire.template(obj)
        if before:
            body = wire.with_revision(body, rv)
        else:
            body = body.replace(b'"resourceVersion":"",', b"", 1).replace(
                b',"resourceVersion":""', b"", 1
            )
        return Record(namespace, metadata["name"], metadata["uid"], rv, rv, body)

    # ---- update -----------------------------------------------------------------------------

    def update(self, call: Call) -> Reply:
        resource, name = call.resource, call.required_name()
        obj = bodies.read_object(call, resource.kind)
        bodies.check_type(obj, resource)
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name"):
            raise ApiError(status.bad_request("name must be provided"))
        if metadata["name"] != name:
            raise ApiError(
                status.bad_request(
                    f"the name of the object ({metadata['name']}) does not match the name on "
                    f"the URL ({name})"
                )
            )
        self._place_in_namespace(call, metadata)
        record = self.store.get(resource.key, call.key_namespace, name)
        if record is None:
            return self._create_by_put(call, obj)
        return self.answer(call, 200, self._replace(call, obj, record))

    def _create_by_put(self, call: Call, obj: Object) -> Reply:
        resource, metadata = call.resource, obj["metadata"]
        if not strategies.may_be_created_by_put(resource) or metadata.get("uid"):
            raise ApiError(status.not_found(resource, call.required_name()))
        if metadata.get("resourceVersion"):
            raise ApiError(status.conflict(resource, call.required_name()))
        return self.answer(call, 201, self.create_object(call, obj))

    def _replace(self, call: Call, obj: Object, record: Record) -> Record:
        """A PUT: with a resourceVersion it must be the current one, without one it always wins."""
        resource = call.resource
        said = obj["metadata"].get("resourceVersion") or ""
        if not said and strategies.needs_revision_on_update(resource):
            cause = status.Cause(
                "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
            )
            raise ApiError(status.invalid(resource, record.name, [cause]))
        if said and said != str(record.rv):
            raise ApiError(status.conflict(resource, record.name))
        for _ in range(RETRIES):
            try:
                return self.change(call, copy.deepcopy(obj) if not said else obj, record)
            except Conflicted:
                if said:
                    break
                record = self.find(call)
        raise ApiError(status.conflict(resource, record.name))

    def change(self, call: Call, new: Object, record: Record) -> Record:
        """Check and store a new version of an object. Raises Conflicted."""
        resource, old = call.resource, record.object
        uid = new["metadata"].get("uid")
        if uid and uid != record.uid:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            )
            raise ApiError(status.conflict(resource, record.name, why))
        apply_defaults(new, resource)
        strategies.prepare_update(resource, new, old, call.subresource)
        validate = _VALIDATE.get(call.subresource or "", validate_update)
        _refuse_causes(resource, new, validate(resource, new, old))
        if strategies.is_same(new, old):
            return record
        if call.subresource is None:
            admission.admit_update(self.store, resource, new, old)
        is_delete = strategies.is_finished(resource, new)
        return self._store(resource, new, record, call.is_dry_run, is_delete)

    def store_version(self, call: Call, new: Object, record: Record) -> Record:
        """Store a version that the server itself has made. Raises Conflicted."""
        return self._store(call.resource, new, record, call.is_dry_run)

    # ---- patch ------------------------------------------------------------------------------

    def patch(self, call: Call) -> Reply:
        patch = self.read_patch(call)
        resource = call.resource

        def patched(obj: Object) -> Object:
            return patch(obj, resource.kind)

        return self.answer(call, 200, self.change_by(call, patched))

    def read_patch(self, call: Call) -> Callable[[Object, str], Object]:
        """A function (object, struct name) → patched object; ApiError 415, 400."""
        media_type = bodies.media_type(call.environ)
        if media_type in _APPLY_TYPES:
            raise ApiError(
                status.unsupported_media_type(
                    ", ".join(PATCH_TYPES)
                    + " (server-side apply is not served yet: use client-side apply)"
                )
            )
        kind = PATCH_TYPES.get(media_type)
        if kind is None:
            raise ApiError(status.unsupported_media_type(", ".join(PATCH_TYPES)))
        parsed, _ = bodies.parse_json(bodies.read(call.environ), "patch")
        if kind != "json" and not isinstance(parsed, dict):
            raise ApiError(status.bad_request("the patch is not a JSON object"))

        def apply(obj: Object, struct_name: str) -> Object:
            try:
                return _patched(kind, obj, parsed, struct_name)
            except merge.MergeError as error:
                raise ApiError(_merge_status(call, error)) from None

        return apply

    def change_by(self, call: Call, change: Callable[[Object], Object]) -> Record:
        """Apply `change` to the object that a call names, again when another writer was faster."""
        resource = call.resource
        for _ in range(RETRIES):
            record = self.find(call)
            new = change(wire.parse(record.body))
            self._check_patched(call, new, record)
            try:
                return self.change(call, new, record)
            except Conflicted:
                continue
        raise ApiError(status.conflict(resource, call.required_name()))

    def _check_patched(self, call: Call, new: Object, record: Record) -> None:
        resource = call.resource
        if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
            raise ApiError(status.bad_request("the patched object has no metadata"))
        bodies.check(call, new, resource.kind, validation=bodies.field_validation(call))
        bodies.check_type(new, resource)
        metadata = new["metadata"]
        if metadata.get("resourceVersion") != str(record.rv):
            raise ApiError(status.conflict(resource, record.name))
        for name, is_now in (("name", record.name), ("namespace", record.namespace)):
            if metadata.get(name, "") != is_now:
                cause = status.Cause(
                    f"metadata.{name}",
                    f'Invalid value: "{metadata.get(name, "")}": field is immutable',
                )
                raise ApiError(status.invalid(resource, record.name, [cause]))

    # ---- delete -----------------------------------------------------------------------------

    def delete(self, call: Call) -> Reply:
        options = self.delete_options(call)
        record, is_gone = self.remove(call, call.key_namespace, call.required_name(), options)
        if is_gone and not strategies.answers_deleted_object(call.resource):
            return reply_object(200, status.success(call.resource, record.name, record.uid))
        return self.answer(call, 200, record)

    def delete_options(self, call: Call) -> Object:
        """DeleteOptions of the body, and of the query where the body says nothing."""
        raw = bodies.read(call.environ)
        options: Object = {}
        if raw.strip():
            options = bodies.decode(call, raw, bodies.media_type(call.environ), "DeleteOptions")
        query = call.query
        if "gracePeriodSeconds" in query:
            options.setdefault("gracePeriodSeconds", _number(call, "gracePeriodSeconds"))
        if "propagationPolicy" in query:
            options.setdefault("propagationPolicy", query["propagationPolicy"])
        if "orphanDependents" in query:
            options.setdefault("orphanDependents", call.flag("orphanDependents"))
        if options.get("dryRun"):
            call.query["dryRun"] = options["dryRun"][0]
        deletion.check_options(call.resource, options)
        return options

    def remove(self, call: Call, namespace: str, name: str, options: Object) -> tuple[Record, bool]:
        """(the object as it is left or last was, whether it is gone)."""
        resource, is_dry_run = call.resource, call.is_dry_run
        for _ in range(RETRIES):
            record = self.find_named(resource, namespace, name)
            obj = wire.parse(record.body)
            deletion.check_preconditions(resource, obj, options)
            outcome = deletion.mark(resource, obj, options)
            try:
                if outcome == "unchanged":
                    return record, False
                stored = self._store(resource, obj, record, is_dry_run, outcome == "gone")
                return stored, outcome == "gone"
            except Conflicted:
                continue
        raise ApiError(status.conflict(resource, name))

    def deletecollection(self, call: Call) -> Reply:
        if "deletecollection" not in call.resource.verbs:
            raise ApiError(status.method_not_allowed(call.resource))
        options = self.delete_options(call)
        found = listing.select(self.store, call.resource, self.filter(call), _number(call, "limit"))
        removed: list[Record] = []
        for record in found.records:
            try:
                removed.append(self.remove(call, record.namespace, record.name, options)[0])
            except ApiError as error:
                if error.code != 404:
                    raise
        found.records = removed
        form = wanted(call.environ.get("HTTP_ACCEPT", ""))
        return _encoded(200, shapes.whole_list(form, call.resource, found, ""), form)


def _whole(
    call: Call, form: Wanted, pages: Iterator[Page], now: datetime | None
) -> bytes | Iterator[bytes]:
    """A list without a limit: in one piece if it is short."""
    include = call.query.get("includeObject", "")
    first = next(pages)
    if first.upto is None:
        found = listing.Selection(first.records, first.rv)
        return shapes.whole_list(form, call.resource, found, include, now=now)
    return shapes.streamed_list(form, call.resource, first, pages, include, now=now)


def _encoded(code: int, body: bytes, form: Wanted) -> Reply:
    if form.media_type != YAML:
        return Reply(code, body)
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(orjson.loads(body), Dumper=dumper, sort_keys=False)
    return Reply(code, text.encode(), YAML)


def _refuse_causes(resource: Resource, obj: Object, causes: Sequence[status.Cause]) -> None:
    if causes:
        name = obj["metadata"].get("name") or obj["metadata"].get("generateName") or ""
        raise ApiError(status.invalid(resource, name, causes))


def _invalid_list(cause: str) -> ApiError:
    details = {"group": "meta.k8s.io", "kind": "ListOptions"}
    return ApiError(
        status.status(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {cause}', details)
    )


def _number(call: Call, name: str) -> int:
    """A whole number of the query, 0 when it is not there; ApiError 400."""
    text = call.query.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise ApiError(
            status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        ) from None


def _revision(call: Call) -> int | None:
    """The query's resourceVersion, None when there is none; ApiError 400."""
    text = call.query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        raise ApiError(
            status.bad_request(
                f'Invalid value: "{text}": resourceVersion: must be a number without a sign'
            )
        )
    return int(text)


def _patched(kind: str, obj: Object, parsed: Any, struct_name: str) -> Object:
    if kind == "json":
        result: Object = merge.json_patch(obj, parsed)
    elif kind == "merge":
        result = merge.merge_patch(obj, parsed)
    else:
        result = merge.strategic_merge(obj, parsed, struct_name)
    return result


def _merge_status(call: Call, error: merge.MergeError) -> Object:
    if error.code == 422:
        details = {"name": call.name, "group": call.resource.group, "kind": call.resource.plural}
        return status.status(422, "Invalid", str(error), details)
    if error.code == 413:
        return status.status(413, "RequestEntityTooLarge", str(error))
    return status.bad_request(str(error))
