"""Room podium/cli: `podium debug` stops loops at breakpoints, shows what they are about to do, and
lets them.

A breakpoint is an object (breakpoints.debug.podium.dev); all that is done here is done by getting
and patching it, and kubectl can do the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from podium.api import debugging, scheme
from podium.cli.options import api_options

if TYPE_CHECKING:
    from podium.cli.connection import Connection

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
ANSWER_S = 15  # for the loop to say what it has done
NEXT_STOP_S = 3  # for the next write, after a step
INJECTIONS = {"conflict": "Conflict", "stale-read": "StaleRead", "error": "Error", "crash": "Crash"}

RESOURCE = scheme.resource(debugging.BREAKPOINTS)
OUTPUT = click.option("-o", "--output", type=click.Choice(["json"]), help="The API's object.")


@click.group()
def command() -> None:
    """Stop loops before they write, look, step, and let things go wrong.

    Loops: deployment, replicaset, scheduler, garbage-collector, kubelet/<node> and others.
    """


# --- breakpoints --------------------------------------------------------------------------------


@command.command("break")
@click.argument("controller", metavar="LOOP")
@click.argument("name", required=False, metavar="[[KIND/]NAME]")
@click.option("-l", "--selector", metavar="LABELS", help="Only objects with these labels.")
@click.option("--if", "condition", metavar="CONDITION", help="Only if this holds, e.g. "
              "'write.verb == \"delete\"' or 'object.spec.replicas > 3'.")  # fmt: skip
@click.option("--once", is_flag=True, help="Stop one time only.")
@click.option("--skip", type=click.IntRange(min=0), default=0, help="Let so many writes pass.")
@click.option("--max-stop", metavar="TIME", default="5m", help="Go on after so long (5m).")
@click.option("--name", "called", metavar="NAME", help="What to call the breakpoint.")
@OUTPUT
@api_options
def set_breakpoint(
    *,
    api: Connection,
    controller: str,
    name: str | None,
    selector: str | None,
    condition: str | None,
    once: bool,
    skip: int,
    max_stop: str,
    called: str | None,
    output: str | None,
) -> None:
    """Stop a loop before it writes: podium debug break deployment web."""
    kind, _, plain = (name or "").rpartition("/")
    found: Object = {
        "kind": scheme_kind(kind) if kind else "",
        "name": plain,
        "namespace": _namespace(api, controller, kind, plain),
        "labelSelector": _labels(selector),
    }
    chosen = {key: value for key, value in found.items() if value}
    spec: Object = {
        "controller": controller,
        "selector": chosen,
        "condition": condition,
        "once": once,
        "skipHits": skip,
        "maxStopSeconds": _seconds(max_stop),
    }
    about = {"name": called or _name_for(controller, plain)}
    body = {"apiVersion": RESOURCE.api_version, "kind": RESOURCE.kind, "metadata": about,
            "spec": {key: value for key, value in spec.items() if value}}  # fmt: skip
    made = api.request("POST", RESOURCE.path(), body=body)
    if output == "json":
        _print_json(made)
        return
    where = _words_of(made["spec"].get("selector") or {})
    click.echo(f"breakpoint/{about['name']} set: {controller} stops at {where} before it writes")
    _tell_if_missing(api, controller, chosen)


@command.command("list")
@OUTPUT
@api_options
def list_breakpoints(*, api: Connection, output: str | None) -> None:
    """List the breakpoints, and where loops are stopped."""
    if output == "json":
        _print_json(api.request("GET", RESOURCE.path()))
        return
    from podium.cli.output import TablePrinter

    table = api.table(RESOURCE.path())
    if not table.get("rows"):
        click.echo("there are no breakpoints", err=True)
        return
    TablePrinter(
        RESOURCE, wide=False, with_namespace=False, with_kind=False, headers=True, labels=False
    ).show(table)


@command.command("rm")
@click.argument("names", nargs=-1, metavar="BREAKPOINT…")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@api_options
def remove(*, api: Connection, names: tuple[str, ...], everything: bool) -> None:
    """Remove breakpoints; what is stopped at them goes on."""
    if everything == bool(names):
        raise click.UsageError("name breakpoints, or say --all")
    if everything:
        listed = api.request("GET", RESOURCE.path())["items"]
        names = tuple(found["metadata"]["name"] for found in listed)
    for name in names:
        api.request("DELETE", RESOURCE.path(name=name))
        click.echo(f"breakpoint/{name} removed")


# --- stops --------------------------------------------------------------------------------------


@command.command()
@click.argument("name", required=False, metavar="[BREAKPOINT]")
@click.option("-w", "--watch", is_flag=True, help="Go on, and show each stop.")
@OUTPUT
@api_options
def show(*, api: Connection, name: str | None, watch: bool, output: str | None) -> None:
    """Show what is stopped: what there is, what is wished, and the next write."""
    found = [_get(api, name)] if name else api.request("GET", RESOURCE.path())["items"]
    if output == "json":
        _print_json(found[0] if name else {"apiVersion": "v1", "kind": "List", "items": found})
        return
    stops = [(one, stop) for one in found for stop in _stops(one)]
    for number, (one, stop) in enumerate(stops):
        if number:
            click.echo()
        _print_stop(one, stop)
    if watch:
        _follow(api, name, {_identity(one, stop) for one, stop in stops})
    elif not stops:
        where = f"at breakpoint {name}" if name else "at any breakpoint"
        click.echo(f"nothing is stopped {where}", err=True)


@command.command()
@click.argument("name", required=False, metavar="[BREAKPOINT]")
@click.argument("key", required=False, metavar="[KEY]")
@api_options
def step(*, api: Connection, name: str | None, key: str | None) -> None:
    """Let the write through that was shown, and stop before the next."""
    _act(api, name, {"type": "Step"}, key)


@command.command("continue")
@click.argument("name", required=False, metavar="[BREAKPOINT]")
@click.argument("key", required=False, metavar="[KEY]")
@api_options
def go_on(*, api: Connection, name: str | None, key: str | None) -> None:
    """Let the reconcile run to its end."""
    _act(api, name, {"type": "Continue"}, key)


@command.command()
@click.argument("what", type=click.Choice(list(INJECTIONS)))
@click.argument("name", required=False, metavar="[BREAKPOINT]")
@click.argument("key", required=False, metavar="[KEY]")
@api_options
def inject(*, api: Connection, what: str, name: str | None, key: str | None) -> None:
    """Have the write fail, give the loop an old version, or kill it where it stands.

    conflict: the write fails with a 409; error: with a 500; stale-read: the reconcile begins anew
    on the version before; crash: the process is killed and restarted.
    """
    _act(api, name, {"type": "Inject", "inject": INJECTIONS[what]}, key)


def _act(api: Connection, name: str | None, action: Object, key: str | None) -> None:
    """Ask for an action, wait until it is done, and show where the loop stops next."""
    found = _get(api, name) if name else _only_stopped(api)
    name = str(found["metadata"]["name"])
    before = {_identity(found, stop) for stop in _stops(found)}
    asked: Object = {"key": None, "inject": None, "id": None, **action}
    if key:
        asked["key"] = key
    patch = {"spec": {"action": asked}}
    path = RESOURCE.path(name=name)
    patched = api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
    wanted = patched["spec"]["action"]["id"]

    def is_done(one: Object) -> bool:
        return bool(_last_action(one).get("id") == wanted)

    done = _until(api, patched, is_done, ANSWER_S)
    last = _last_action(done)
    if last.get("id") != wanted:
        controller = found["spec"]["controller"]
        raise click.ClickException(f"{controller} has not answered in {ANSWER_S} s; does it run?")
    if last["result"] != "Done":
        raise click.ClickException(f"{last['result']}: {last.get('message', '')}")
    click.echo(f"{last.get('key', '')}: {(last.get('inject') or last['type']).lower()} done")
    if action["type"] == "Continue" or action.get("inject") == "Crash":
        return

    def has_stopped(one: Object) -> bool:
        return any(_identity(one, stop) not in before for stop in _stops(one))

    stopped = _until(api, done, has_stopped, NEXT_STOP_S)
    new = [stop for stop in _stops(stopped) if _identity(stopped, stop) not in before]
    for stop in new:
        _print_stop(stopped, stop)
    if not new:
        click.echo("there was no further write")


def _until(api: Connection, found: Object, is_so: Any, seconds: int) -> Object:
    """The breakpoint once that is so, or as it was last when the time is over."""
    if is_so(found):
        return found
    about = found["metadata"]
    query = {
        "fieldSelector": f"metadata.name={about['name']}",
        "resourceVersion": about["resourceVersion"],
        "timeoutSeconds": str(seconds),
    }
    for event in api.watch(RESOURCE.path(), query):
        if event["type"] == "DELETED":
            raise click.ClickException(f"breakpoint {about['name']} was removed")
        if event["type"] == "MODIFIED":
            found = event["object"]
            if is_so(found):
                break
    return found


def _follow(api: Connection, name: str | None, shown: set[tuple[str, ...]]) -> None:
    query = {"fieldSelector": f"metadata.name={name}"} if name else {}
    try:
        for event in api.watch(RESOURCE.path(), query):
            for stop in _stops(event["object"]) if event["type"] != "BOOKMARK" else ():
                if _identity(event["object"], stop) not in shown:
                    shown.add(_identity(event["object"], stop))
                    _print_stop(event["object"], stop)
    except KeyboardInterrupt:
        return


# --- small things -------------------------------------------------------------------------------


def _get(api: Connection, name: str) -> Object:
    return api.request("GET", RESOURCE.path(name=name))


def _only_stopped(api: Connection) -> Object:
    found = [one for one in api.request("GET", RESOURCE.path())["items"] if _stops(one)]
    if not found:
        raise click.ClickException("nothing is stopped at any breakpoint")
    if len(found) > 1:
        names = ", ".join(one["metadata"]["name"] for one in found)
        raise click.ClickException(f"loops are stopped at several breakpoints, name one: {names}")
    return dict(found[0])


def _stops(found: Object) -> list[Object]:
    return list((found.get("status") or {}).get("stopped") or ())


def _last_action(found: Object) -> Object:
    return dict((found.get("status") or {}).get("lastAction") or {})


def _identity(found: Object, stop: Object) -> tuple[str, ...]:
    return found["metadata"]["name"], stop["key"], stop["since"]


def _print_json(obj: Object) -> None:
    from podium.cli.output import printer

    printer("json")(obj)


def _print_stop(found: Object, stop: Object) -> None:
    from podium.cli.debug_text import stop_lines

    for line in stop_lines(found, stop):
        click.echo(line)


def scheme_kind(word: str) -> str:
    """ "deploy" → "Deployment"."""
    from podium.cli.targets import find_resource

    return find_resource(word).kind


def _namespace(api: Connection, controller: str, kind: str, name: str) -> str:
    """Where: the one that was given, else the one to work in if an object is named."""
    from podium.cli.targets import find_resource

    if api.given_namespace or name:
        try:
            kinds = debugging.kinds_of(controller)
        except KeyError:
            kinds = ()  # the server knows how to say that
        resources = [find_resource(kind)] if kind else [scheme.resource(one) for one in kinds]
        if all(one.namespaced for one in resources):
            return api.namespace
    return ""


def _labels(selector: str | None) -> Object | None:
    if not selector:
        return None
    if not re.fullmatch(r"[^=!,\s]+=[^=!,\s]*(,[^=!,\s]+=[^=!,\s]*)*", selector):
        raise click.UsageError("-l takes labels with their values: app=web,tier=front")
    return {"matchLabels": dict(pair.split("=", 1) for pair in selector.split(","))}


def _seconds(text: str) -> int:
    """ "90", "90s", "5m", "1h"."""
    match = re.fullmatch(r"(\d+)(s|m|h|)", text)
    if match is None:
        raise click.UsageError(f'--max-stop: cannot read "{text}"; say e.g. 90s, 5m or 1h')
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _name_for(controller: str, name: str) -> str:
    words = [controller, *filter(None, [name])]
    return re.sub(r"[^a-z0-9.-]+", "-", "-".join(words).lower()).strip("-.")[:253]


def _words_of(selector: Object) -> str:
    where = "/".join(filter(None, (selector.get("namespace"), selector.get("name"))))
    labels = (selector.get("labelSelector") or {}).get("matchLabels") or {}
    words = [selector.get("kind", ""), where, *(f"{k}={v}" for k, v in labels.items())]
    return " ".join(filter(None, words)) or "every object"


def _tell_if_missing(api: Connection, controller: str, selector: Object) -> None:
    """Whoever has mistyped a name should hear of it."""
    from podium.client.errors import NotFound

    kinds = debugging.kinds_of(controller)
    if not selector.get("name") or len(kinds) != 1:
        return
    resource = scheme.resource(kinds[0])
    try:
        api.request("GET", resource.path(selector.get("namespace"), selector["name"]))
    except NotFound:
        click.echo(
            f'there is no {resource.singular} "{selector["name"]}" yet; it stops when there is',
            err=True,
        )
