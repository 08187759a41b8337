"""The schema table: every field of every type that the API server understands, v1.32.

The tables are the `.txt` files beside this one; a type's name stands at the margin, its fields
below:

      name  proto-number  type  flags…
      ports 6 []ContainerPort map=containerPort,protocol patch=merge:containerPort

Types: `string bool int32 int64 double bytes any`, `Quantity IntOrString Time MicroTime RawExtension
FieldsV1 StringList`, another type's name; `*T` where Go has a pointer, `[]T` a list, `map[T]` an
object with string keys. Flags: `required`; `always` (on the wire even when empty); `inline` (its
fields stand in the parent); `set`, `map=KEYS` (list type; otherwise atomic); `atomic` (a map or
object replaced as a whole by server-side apply); `patch=STRATEGIES:MERGEKEY`; `default=V`;
`enum=A|B`.

This one table drives strict decoding, protobuf bodies, strategic merge and OpenAPI. Only the API
server loads it. Source: the `types.go` files of Kubernetes' API, release 1.32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources

SCALARS = frozenset(
    ("string", "bool", "int32", "int64", "double", "bytes", "any", "Quantity", "IntOrString",
     "Time", "MicroTime", "RawExtension", "FieldsV1", "StringList", "byte", "uint8")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is the element's type: a name in SCALARS or a struct's name."""

    name: str
    number: int
    kind: str
    is_list: bool = False
    is_map: bool = False
    is_pointer: bool = False
    is_required: bool = False
    is_always: bool = False
    is_inline: bool = False
    is_atomic: bool = False
    list_type: str = "atomic"  # atomic, set or map
    list_map_keys: tuple[str, ...] = ()
    patch_strategies: tuple[str, ...] = ()  # merge, replace, retainKeys
    patch_merge_key: str = ""
    default: str | None = None
    enum: tuple[str, ...] = ()

    @property
    def is_struct(self) -> bool:
        return self.kind not in SCALARS


@dataclass(frozen=True, slots=True)
class Struct:
    """`declared` as the table has it (inline ones unopened: protobuf nests them), `fields` as JSON
    sees it, by name."""

    name: str
    declared: tuple[Field, ...]
    fields: dict[str, Field] = field(default_factory=dict)


@cache
def structure(name: str) -> Struct:
    """A type by name, such as "PodSpec"; KeyError when the table has none."""
    declared = tuple(_read_field(line.split()) for line in _rows()[name][1:])
    return Struct(name, declared, _opened(declared))


def struct_name(api_version: str, kind: str) -> str:
    """The table's name of a kind; KeyError when it has none. A name that several groups use belongs
    to the first of them, and is "events.Event", "authentication.TokenRequest" for the others."""
    group = api_version.rpartition("/")[0].partition(".")[0]
    for name in (f"{group}.{kind}", kind):
        if has_structure(name):
            return name
    raise KeyError(kind)


def has_structure(name: str) -> bool:
    return name in _rows()


def group_of(name: str) -> str:
    """The group that a type belongs to, in short: "core", "apps", "meta", "authentication"."""
    return _rows()[name][0]


def all_names() -> list[str]:
    return list(_rows())


def _opened(rows: tuple[Field, ...]) -> dict[str, Field]:
    """The fields as JSON has them: those of inline structs stand in the parent."""
    fields: dict[str, Field] = {}
    for row in rows:
        if row.is_inline:
            fields.update(structure(row.kind).fields)
        else:
            fields[row.name] = row
    return fields


@cache
def _rows() -> dict[str, list[str]]:
    """By type its group and then its lines; a type is only read when somebody asks for it."""
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for file in sorted(resources.files(__name__).iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".txt"):
            continue
        for line in file.read_text().splitlines():
            if line.startswith(" "):
                rows.append(line)
            else:
                rows = found.setdefault(line.strip(), [file.name.partition("_")[0]])
    return found


def _read_field(words: list[str]) -> Field:
    name, number, type_, *flags = words
    options = dict(flag.partition("=")[::2] for flag in flags)
    bare = type_.lstrip("*")
    is_list, is_map = bare.startswith("[]"), bare.startswith("map[")
    kind = bare[2:] if is_list else bare[4:-1] if is_map else bare
    strategies, _, merge_key = options.get("patch", "").partition(":")
    return Field(
        name=name,
        number=int(number),
        kind=kind,
        is_list=is_list,
        is_map=is_map,
        is_pointer=type_.startswith("*"),
        is_required="required" in options,
        is_always="always" in options,
        is_inline="inline" in options,
        is_atomic="atomic" in options,
        list_type="map" if "map" in options else "set" if "set" in options else "atomic",
        list_map_keys=tuple(options["map"].split(",")) if "map" in options else (),
        patch_strategies=tuple(filter(None, strategies.split(","))),
        patch_merge_key=merge_key,
        default=options.get("default"),
        enum=tuple(options["enum"].split("|")) if "enum" in options else (),
    )
