"""Room podium/cli: printing objects: the server's Tables, yaml, json, names, jsonpath.

Used by `get`, `apply -o`, `describe` and `image`. Columns stand three blanks apart, like kubectl's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from podium.api.scheme import Resource
from podium.api.yaml_text import to_yaml
from podium.cli.targets import kind_name

FORMATS = ("wide", "yaml", "json", "name")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class OutputType(click.ParamType[str]):
    """`-o`: a format's name, or `jsonpath=TEMPLATE`."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is unknown at once, before anything is asked of the server."""
        if value in FORMATS or value.startswith("jsonpath="):
            return value
        self.fail(f"{value!r} is none of {', '.join(FORMATS)}, jsonpath=TEMPLATE", param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Shown in --help."""
        return f"[{'|'.join(FORMATS)}|jsonpath=…]"


def columns(rows: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> list[str]:
    """Rows as lines, each column as wide as its widest cell (or `widths`), the last one ragged."""
    widths = widths or column_widths(rows)
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column over all rows; at least three, as kubectl's."""
    return [max(3, *(len(cell) for cell in column)) for column in zip(*rows, strict=True)]


class TablePrinter:
    """Prints the rows of Tables of one kind; keeps its columns' widths between calls (for -w)."""

    def __init__(
        self,
        resource: Resource,
        *,
        wide: bool,
        with_namespace: bool,
        with_kind: bool = False,
        headers: bool = True,
        labels: bool = False,
    ) -> None:
        self._prefix = f"{kind_name(resource)}/" if with_kind else ""
        self._wide = wide
        self._with_namespace = with_namespace
        self._headers = headers
        self._labels = labels
        self._shown: list[int] = []
        self._names: list[str] = []
        self._widths: list[int] = []

    def show(self, table: dict[str, Any]) -> None:
        """Print a Table's rows; the headers the first time."""
        self._learn_columns(table.get("columnDefinitions") or [])
        rows = [self._cells(row) for row in table.get("rows") or ()]
        header = [self._names] if self._headers and not self._widths else []
        if not rows:
            return
        measured = column_widths([*header, *rows])
        if not self._widths or any(
            new > old for new, old in zip(measured, self._widths, strict=True)
        ):
            self._widths = [
                max(pair) for pair in zip(measured, self._widths or measured, strict=True)
            ]
        for line in columns([*header, *rows], self._widths):
            click.echo(line)

    def _learn_columns(self, definitions: list[dict[str, Any]]) -> None:
        if not definitions:
            return  # only the first Table of a watch names its columns
        self._shown = [
            index
            for index, column in enumerate(definitions)
            if self._wide or column.get("priority", 0) == 0
        ]
        self._names = [definitions[index]["name"].upper() for index in self._shown]
        if self._with_namespace:
            self._names.insert(0, "NAMESPACE")
        if self._labels:
            self._names.append("LABELS")

    def _cells(self, row: dict[str, Any]) -> list[str]:
        cells = [_cell(row["cells"][index]) for index in self._shown]
        if cells and self._prefix:
            cells[0] = self._prefix + cells[0]
        if self._with_namespace:
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
        if self._labels:
            labels = row["object"]["metadata"].get("labels") or {}
            cells.append(",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "<none>")
        return cells


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    # A cell stays in its line whatever the message in it holds.
    return str(value).replace("\n", "\\n")


def printer(format_: str) -> Callable[[dict[str, Any]], None]:
    """How to print one whole object (or List) in a format other than a table's."""
    if format_ == "json":
        return lambda obj: click.echo(json.dumps(obj, indent=4, ensure_ascii=False))
    if format_ == "yaml":
        return lambda obj: click.echo(to_yaml(obj), nl=False)
    if format_ == "name":
        return _print_names
    from podium.cli import jsonpath

    template = format_.removeprefix("jsonpath=").strip("'")

    def show(obj: dict[str, Any]) -> None:
        try:
            click.echo(jsonpath.render(template, obj), nl=False)
        except jsonpath.JsonPathError as error:
            raise click.ClickException(f"parsing jsonpath {template}: {error}") from None

    return show


def _print_names(obj: dict[str, Any]) -> None:
    for item in items_of(obj):
        click.echo(object_name(item))


def object_name(obj: dict[str, Any]) -> str:
    """ "deployment.apps/web" of an object."""
    group = obj["apiVersion"].rpartition("/")[0]
    kind = obj["kind"].lower()
    return (
        f"{kind}.{group}/{obj['metadata']['name']}"
        if group
        else (f"{kind}/{obj['metadata']['name']}")
    )


def items_of(obj: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The objects of a List, each with its kind; or the object itself."""
    if "items" not in obj or not obj.get("kind", "").endswith("List"):
        return [obj]
    kind = obj["kind"].removesuffix("List")
    # Items of a typed list do not repeat their type; those of a v1 List carry it.
    return [{"apiVersion": obj["apiVersion"], "kind": kind, **item} for item in obj["items"]]
