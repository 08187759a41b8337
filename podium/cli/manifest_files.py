"""Room podium/cli: reading manifests: files, directories, standard input; YAML or JSON.

Everything is read and understood before anything is sent, so that a typing error on line 40 does
not leave half a manifest applied. Used by `apply`, `delete -f` and the first lesson.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from podium.api import scheme
from podium.api.scheme import Resource
from podium.cli.targets import kind_name

MOST_VALUES = 1_000_000
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a manifest, and where it stands ("web.yaml", line 12)."""

    source: str
    line: int
    resource: Resource
    object: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name; empty if the server is to make one (generateName)."""
        return str(self.object["metadata"].get("name", ""))

    def __str__(self) -> str:
        """As kubectl names it: "deployment.apps/web"."""
        return f"{kind_name(self.resource)}/{self.name}"


class ManifestError(click.ClickException):
    """Something in a manifest that cannot be understood; nothing was sent."""

    def show(self, file: Any = None) -> None:
        """In kubectl's voice, on stderr."""
        click.echo(f"error: {self.message}", err=True)


def read_manifests(paths: tuple[str, ...], recursive: bool = False) -> list[Manifest]:
    """All objects of all paths in their order; Lists are opened. Raises ManifestError."""
    manifests = [
        manifest
        for path in paths
        for source, text in _texts(path, recursive)
        for manifest in _objects(source, text)
    ]
    if not manifests:
        raise ManifestError("no objects passed to apply: " + ", ".join(paths))
    return manifests


def parse_manifests(text: str, source: str) -> list[Manifest]:
    """All objects of a text; `source` is what errors call it. Raises ManifestError."""
    return list(_objects(source, text))


def _texts(path: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "standard input", _decoded("standard input", sys.stdin.buffer.read())
        return
    if Path(path).is_dir():
        found = sorted(Path(path).rglob("*") if recursive else Path(path).glob("*"))
        files = [file for file in found if file.suffix in SUFFIXES and file.is_file()]
        if not files:
            hint = "" if recursive else "; -R looks in its directories too"
            raise ManifestError(f"{path} holds no {', '.join(SUFFIXES)} file{hint}")
    else:
        files = [Path(path)]
    for file in files:
        try:
            yield str(file), _decoded(str(file), file.read_bytes())
        except FileNotFoundError:
            raise ManifestError(f'the path "{file}" does not exist') from None


def _decoded(source: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{source} is not UTF-8 text: {error}") from None


def _objects(source: str, text: str) -> Iterator[Manifest]:
    for line, document in _documents(source, text):
        if document is None:
            continue  # an empty document between two "---"
        where = f"{source}, line {line}"
        if not isinstance(document, dict):
            raise ManifestError(f"{where}: an object was expected, not {_called(document)}")
        items = document.get("items") if str(document.get("kind", "")).endswith("List") else None
        for item in items if isinstance(items, list) else [document]:
            yield _manifest(where, source, line, item)


def _called(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "a number")


def _manifest(where: str, source: str, line: int, obj: Any) -> Manifest:
    for key in ("apiVersion", "kind"):
        if not isinstance(obj, dict) or not isinstance(obj.get(key), str):
            raise ManifestError(f"{where}: {key} not set")
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not (name or metadata.get("generateName")):
        raise ManifestError(f"{where}: {obj['kind']} has no metadata.name")
    try:
        resource = scheme.by_kind(obj["apiVersion"], obj["kind"])
    except LookupError:
        raise ManifestError(
            f'{where}: resource mapping not found for name: "{name}": '
            f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"'
        ) from None
    return Manifest(source, line, resource, obj)


def _documents(source: str, text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of each YAML document; JSON is YAML. Anchors do, duplicate keys do not."""
    import yaml

    loader = _loader()(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            left = itertools.count(MOST_VALUES, -1)
            yield node.start_mark.line + 1, _as_json(loader.construct_document(node), left)
    except yaml.MarkedYAMLError as error:
        raise ManifestError(_placed(source, error)) from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{source}: {error}") from None
    except OverflowError:
        raise ManifestError(
            f"{source}: grows to more than {MOST_VALUES} values when its aliases are resolved"
        ) from None
    except RecursionError:
        raise ManifestError(f"{source}: nested too deeply") from None
    finally:
        loader.dispose()


def _as_json(value: Any, left: Iterator[int]) -> Any:
    """What YAML may say and JSON cannot: keys that are numbers, `!!binary`, shared values."""
    if next(left) < 0:
        raise OverflowError
    if isinstance(value, dict):
        return {_as_key(key): _as_json(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, left) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _as_key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def _placed(source: str, error: Any) -> str:
    """File, line and column (from 1, as editors count) of what the parser did not expect."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
    context = f" {error.context}" if error.context else ""
    return f"{source}: {where}: {error.problem}{context}"


def _loader() -> Any:
    """A safe loader that keeps times as texts and refuses duplicate keys, as Kubernetes does."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":
                    continue
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, list | dict):
                    raise yaml.constructor.ConstructorError(
                        None, None, "a key must be a text", key_node.start_mark
                    )
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f'key "{key}" already set', key_node.start_mark
                    )
                seen.add(key)
            return super().construct_mapping(node, deep)

    resolvers = {
        first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
        for first, found in base.yaml_implicit_resolvers.items()
    }
    Loader.yaml_implicit_resolvers = resolvers
    return Loader
