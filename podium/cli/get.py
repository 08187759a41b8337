"""Room podium/cli: `podium get` prints what the API says: the server's Tables, or whole objects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from podium.cli.moment import revision_of
from podium.cli.options import api_options
from podium.cli.output import TABLE, OutputType, TablePrinter, items_of, printer
from podium.cli.targets import Target, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

PAGE = 500  # objects a request; a thousand Pods must not make the server hold its breath


@click.command()
@click.argument("words", nargs=-1, metavar="KIND[/NAME] [NAME…]")
@click.option("-o", "--output", type=OutputType(), help="Another form than the table.")
@click.option("-l", "--selector", metavar="LABELS", help="Only those with these labels.")
@click.option("--field-selector", metavar="FIELDS", help="Only those with these fields.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print each change.")
@click.option("--no-headers", is_flag=True, help="Leave out the table's head.")
@click.option("--show-labels", is_flag=True, help="Add a column with the labels.")
@click.option("--at", metavar="MOMENT", help='As it was: a revision, a time, or "5m ago".')
@api_options
def command(*, api: Connection, words: tuple[str, ...], **options: Any) -> None:
    """List objects, or print them: podium get pods, podium get deploy/web -o yaml."""
    targets = parse_targets(words)
    with contextlib.suppress(KeyboardInterrupt):  # the end of -w
        ok = Getting(api, targets, **options).run()
        if not ok:
            raise SystemExit(1)


class Getting:
    """One `get`: which objects, in which form."""

    def __init__(
        self,
        api: Connection,
        targets: list[Target],
        *,
        output: str | None,
        selector: str | None,
        field_selector: str | None,
        all_namespaces: bool,
        watch: bool,
        no_headers: bool,
        show_labels: bool,
        at: str | None,
    ) -> None:
        if (selector or field_selector) and any(target.name for target in targets):
            raise click.UsageError("objects are named or selected, not both")
        if watch and len(targets) != 1:
            raise click.UsageError("only one kind, or one object, can be watched")
        if watch and at is not None:
            raise click.UsageError("the past does not change: --at cannot be watched")
        self._api = api
        self._targets = targets
        self._output = output
        self._query = {"labelSelector": selector, "fieldSelector": field_selector}
        self._all = all_namespaces
        self._watch = watch
        self._headers = not no_headers
        self._labels = show_labels
        self._many = len({target.resource.key for target in targets}) > 1
        self._failed = False
        # Said once, so that all kinds are shown as at the same revision.
        self._at = {"atRevision": revision_of(api, at)} if at is not None else {}

    def run(self) -> bool:
        """Print; False if one of the named objects could not be had (told on stderr)."""
        if self._output in (None, "wide"):
            self._print_tables()
        elif self._watch:
            self._watch_objects(self._targets[0])
        else:
            self._print_objects()
        return not self._failed

    # --- tables ---------------------------------------------------------------------------------

    def _print_tables(self) -> None:
        printers: dict[str, TablePrinter] = {}
        printed = False
        for target in self._targets:
            key = target.resource.key
            is_first = key not in printers
            show = printers.setdefault(key, self._printer(target))
            rv, rows = self._show_table(target, show, blank_line=is_first and printed)
            printed = printed or rows > 0
            if self._watch:
                self._watch_table(target, show, rv)
        if not printed and not self._failed and not self._watch:
            self._tell_nothing()

    def _printer(self, target: Target) -> TablePrinter:
        return TablePrinter(
            target.resource,
            wide=self._output == "wide",
            with_namespace=self._all and target.resource.namespaced,
            with_kind=self._many,
            headers=self._headers,
            labels=self._labels,
        )

    def _show_table(self, target: Target, show: TablePrinter, blank_line: bool) -> tuple[str, int]:
        """Page after page; gives the resourceVersion and the number of rows."""
        query: dict[str, Any] = dict(self._query) if target.name is None else {}
        if target.name is None:
            query["limit"] = PAGE
        count = 0
        while True:
            table = self._ask(target, query, accept=TABLE)
            if table is None:
                return "", 0
            if table.get("rows") and blank_line and not count:
                click.echo()
            show.show(table)
            count += len(table.get("rows") or ())
            metadata = table.get("metadata") or {}
            if not metadata.get("continue"):
                return str(metadata.get("resourceVersion", "")), count
            query["continue"] = metadata["continue"]

    def _watch_table(self, target: Target, show: TablePrinter, rv: str) -> None:
        path, query = self._watched(target)
        for event in self._api.watch(path, {**query, "resourceVersion": rv}, accept=TABLE):
            if event["type"] == "ERROR":
                raise click.ClickException(event["object"].get("message", "the watch ended"))
            if event["type"] != "BOOKMARK":
                show.show(event["object"])

    def _watched(self, target: Target) -> tuple[str, dict[str, Any]]:
        query = dict(self._query)
        if target.name:
            query["fieldSelector"] = f"metadata.name={target.name}"
        return target.resource.path(self._namespace(target)), query

    # --- whole objects --------------------------------------------------------------------------

    def _print_objects(self) -> None:
        show = printer(self._output or "json")
        found = [obj for target in self._targets if (obj := self._whole(target))]
        if len(self._targets) == 1:
            for obj in found:
                show(obj)
            return
        items = [item for obj in found for item in items_of(obj)]
        metadata = {"resourceVersion": ""}
        show({"apiVersion": "v1", "items": items, "kind": "List", "metadata": metadata})

    def _whole(self, target: Target) -> dict[str, Any] | None:
        if target.name is not None:
            return self._ask(target, {})
        found = self._ask(target, self._query)
        if found is None:
            return None
        # As kubectl: one List of objects that each say what they are.
        return {
            "apiVersion": "v1",
            "items": list(items_of(found)),
            "kind": "List",
            "metadata": {"resourceVersion": ""},
        }

    def _watch_objects(self, target: Target) -> None:
        show = printer(self._output or "json")
        found = self._ask(target, self._query if target.name is None else {})
        if found is None:
            return
        for item in items_of(found):
            show(item)
        path, query = self._watched(target)
        query["resourceVersion"] = found["metadata"]["resourceVersion"]
        for event in self._api.watch(path, query):
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                show(event["object"])

    # --- asking ---------------------------------------------------------------------------------

    def _namespace(self, target: Target) -> str | None:
        return None if self._all else self._api.namespace_of(target.resource)

    def _ask(
        self, target: Target, query: dict[str, Any], accept: str = "application/json"
    ) -> dict[str, Any] | None:
        """GET; what is named and not there is told on stderr, and the others still printed."""
        from podium.cli.refusal import told
        from podium.client.errors import NotFound

        if self._all and target.name:
            raise click.UsageError("an object is named in one namespace, not in all of them")
        path = target.resource.path(self._namespace(target), target.name)
        try:
            return self._api.request("GET", path, query=query | self._at, accept=accept)
        except NotFound as error:
            click.echo(told(error), err=True)
            self._failed = True
            return None

    def _tell_nothing(self) -> None:
        namespaced = any(target.resource.namespaced for target in self._targets)
        where = f" in {self._api.namespace} namespace" if namespaced and not self._all else ""
        click.echo(f"No resources found{where}" + ("." if where else ""), err=True)
