"""Room podium/cli: `podium top` shows what nodes and Pods use now (metrics.k8s.io)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from podium.api import quantity
from podium.cli.options import api_options
from podium.cli.output import columns
from podium.cli.targets import Target, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

METRICS = "/apis/metrics.k8s.io/v1beta1"
MEBIBYTE = 1 << 20
Object = dict[str, Any]


@click.command()
@click.argument("words", nargs=-1, metavar="pods|nodes [NAME]")
@click.option("-A", "--all-namespaces", is_flag=True, help="Pods of all namespaces.")
@click.option("-l", "--selector", help="Only those with such labels.")
@click.option("--containers", is_flag=True, help="Each container of the pods.")
@click.option("--no-headers", is_flag=True, help="Without the names of the columns.")
@api_options
def command(
    *,
    api: Connection,
    words: tuple[str, ...],
    all_namespaces: bool,
    selector: str | None,
    containers: bool,
    no_headers: bool,
) -> None:
    """Show the CPU and memory in use: podium top pods."""
    targets = parse_targets(words or ("pods",))
    if len(targets) != 1 or targets[0].resource.key not in ("pods", "nodes"):
        raise click.UsageError("name pods or nodes, and one of them if you like")
    (target,) = targets
    namespace = None if all_namespaces else api.namespace_of(target.resource)
    items = _items(api, target, namespace, selector)
    if not items:
        where = f" in {namespace} namespace" if namespace else ""
        click.echo(f"No resources found{where}.", err=True)
        return
    if target.resource.key == "nodes":
        rows = [["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]]
        rows += [_node_row(api, node) for node in items]
    else:
        head = ["POD", "NAME"] if containers else ["NAME"]
        rows = [["NAMESPACE", *head, "CPU(cores)", "MEMORY(bytes)"]]
        rows += [row for pod in items for row in _pod_rows(pod, containers=containers)]
        rows = rows if all_namespaces else [row[1:] for row in rows]
    for line in columns(rows[1:] if no_headers else rows):
        click.echo(line)


def _items(
    api: Connection, target: Target, namespace: str | None, selector: str | None
) -> list[Object]:
    """The figures of one, or of all."""
    place = f"/namespaces/{namespace}" if namespace else ""
    path = f"{METRICS}{place}/{target.resource.plural}"
    if target.name:
        return [api.request("GET", f"{path}/{target.name}")]
    found: list[Object] = api.request("GET", path, query={"labelSelector": selector})["items"]
    return found


def _pod_rows(pod: Object, *, containers: bool) -> list[list[str]]:
    about, parts = pod["metadata"], pod["containers"]
    names = [about["namespace"], about["name"]]
    if containers:
        return [[*names, part["name"], *_usage([part["usage"]])] for part in parts]
    return [[*names, *_usage([part["usage"] for part in parts])]]


def _node_row(api: Connection, metrics: Object) -> list[str]:
    name = metrics["metadata"]["name"]
    node = api.request("GET", f"/api/v1/nodes/{name}")
    whole = node["status"]["allocatable"]
    cpu, memory = _usage([metrics["usage"]])
    cpu_share = int(cpu[:-1]) * 100 // (quantity.cpu_millicores(whole["cpu"]) or 1)
    used = quantity.memory_bytes(metrics["usage"]["memory"])
    memory_share = used * 100 // (quantity.memory_bytes(whole["memory"]) or 1)
    return [name, cpu, f"{cpu_share}%", memory, f"{memory_share}%"]


def _usage(usages: list[Object]) -> tuple[str, str]:
    """ "125m" and "64Mi" of several together."""
    millicores = sum(quantity.parse(usage["cpu"]) for usage in usages) * 1000
    used = sum(quantity.memory_bytes(usage["memory"]) for usage in usages)
    return f"{int(millicores)}m", f"{used // MEBIBYTE}Mi"
