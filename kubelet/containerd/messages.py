"""The messages that are spoken with containerd: classes made from the table `messages.txt`.

A package stands behind the word `package`, a message's name at the margin, its fields below it:
`name number type`, where a type is a scalar of protobuf, `map` (of strings), another message of the
package, or one of these with `[]` before it. Enumerations are int32, which is what the wire has.
Only what is used is there; what the table does not name is skipped when it is read.
Source: the CRI's `runtime/v1/api.proto`, containerd 1.6 `api/services`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES, "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64, "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}  # fmt: skip
CRI, CONTAINERD = "runtime.v1", "containerd"


@cache
def message(package: str, name: str) -> Any:
    """The class of a message: `message(CRI, "Mount")(host_path="/tmp")`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{package}.{name}"))


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    text = resources.files(__package__).joinpath("messages.txt").read_text()
    for part in text.split("package ")[1:]:
        package, _, table = part.partition("\n")
        pool.Add(_file(package.strip(), table))
    return pool


def _file(package: str, table: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for line in filter(None, map(str.rstrip, table.splitlines())):
        if line[0] != " ":
            current = file.message_type.add(name=line)
        else:
            name, number, kind = line.split()
            _add_field(package, current, name, int(number), kind)
    return file


def _add_field(
    package: str, owner: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str
) -> None:
    field = owner.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("[]"):
        field.label, kind = _Field.LABEL_REPEATED, kind[2:]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _Field.TYPE_MESSAGE
    field.type_name = f".{package}.{kind}"
    if kind == "map":
        entry = f"{name.title().replace('_', '')}Entry"
        field.label, field.type_name = _Field.LABEL_REPEATED, f".{package}.{owner.name}.{entry}"
        _add_entry(owner.nested_type.add(name=entry))


def _add_entry(entry: descriptor_pb2.DescriptorProto) -> None:
    """A map is a list of pairs on the wire."""
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(
            name=name, number=number, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING
        )
