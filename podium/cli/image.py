"""Room podium/cli: `podium image` moves images onto nodes, through the API server's node proxy."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from podium.cli.options import api_options
from podium.cli.output import columns

if TYPE_CHECKING:
    from podium.cli.connection import Connection

LOAD_TIMEOUT_S = 600.0  # unpacking a large image takes the node a while
PULL_TIMEOUT_S = 3600.0


@click.group()
def command() -> None:
    """Pull, load, list or remove images on a node."""


@command.command()
@click.argument("file", type=click.File("rb"))
@click.option("--name", help="Give the image this name (if the file holds none, or another).")
@click.option("--node", metavar="NODE", help="Only onto this node (default: all).")
@api_options
def load(*, api: Connection, file: BinaryIO, name: str | None, node: str | None) -> None:
    """Load an OCI layout or a docker-archive (a tar file, or - for standard input)."""
    api.timeout_s = LOAD_TIMEOUT_S
    nodes = [node] if node else _nodes(api)
    if len(nodes) > 1 and not file.seekable():
        raise click.ClickException("several nodes need a file, not a pipe; or name one with --node")
    for one in nodes:
        if file.seekable():
            file.seek(0)
        answer = _ask(api, "POST", one, "/images/load", query={"name": name}, body=file)
        for image in _images(answer):
            for reference in image.get("references") or [image.get("id", "")]:
                click.echo(f"loaded {reference} onto {one}")


@command.command()
@click.argument("references", nargs=-1, required=True)
@click.option("--creds", metavar="USER[:PASSWORD]", help="Who to be; a password is asked for.")
@click.option("--node", metavar="NODE", help="Only onto this node (default: all).")
@api_options
def pull(
    *, api: Connection, references: tuple[str, ...], creds: str | None, node: str | None
) -> None:
    """Pull images from their registries."""
    api.timeout_s = PULL_TIMEOUT_S
    who = _credentials(creds) if creds else {}
    for one in [node] if node else _nodes(api):
        for reference in references:
            body = io.BytesIO(json.dumps({"reference": reference, **who}).encode())
            kind = "application/json"
            answer = _ask(api, "POST", one, "/images/pull", body=body, content_type=kind)
            for image in _images(answer):
                digests = image.get("repoDigests") or [image.get("id", "")]
                click.echo(f"pulled {reference} onto {one}: {digests[0]}")


def _credentials(creds: str) -> dict[str, str]:
    username, colon, password = creds.partition(":")
    if not colon:
        password = click.prompt(f"Password of {username}", hide_input=True)
    return {"username": username, "password": password}


@command.command("list")
@click.option("--node", metavar="NODE", help="Only of this node (default: all).")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@api_options
def list_images(*, api: Connection, node: str | None, output: str) -> None:
    """List the images on the nodes."""
    found = {one: _images(_ask(api, "GET", one, "/images")) for one in [node] if one}
    if not node:
        found = {one: _images(_ask(api, "GET", one, "/images")) for one in _nodes(api)}
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    rows = [["NODE", "IMAGE", "ID", "SIZE"]]
    for one, images in found.items():
        for image in images:
            for reference in image.get("references") or ["<none>"]:
                rows.append([one, reference, _short(image), _size(image)])
    for line in columns(rows):
        click.echo(line)


@command.command()
@click.argument("references", nargs=-1, required=True)
@click.option("--node", metavar="NODE", help="Only from this node (default: all).")
@api_options
def remove(*, api: Connection, references: tuple[str, ...], node: str | None) -> None:
    """Remove images by name or id."""
    for one in [node] if node else _nodes(api):
        for reference in references:
            _ask(api, "DELETE", one, "/images", query={"reference": reference})
            click.echo(f"removed {reference} from {one}")


command.add_command(remove, "rm")


def _nodes(api: Connection) -> list[str]:
    return [item["metadata"]["name"] for item in api.request("GET", "/api/v1/nodes")["items"]]


def _ask(
    api: Connection,
    method: str,
    node: str,
    path: str,
    *,
    query: dict[str, Any] | None = None,
    body: BinaryIO | None = None,
    content_type: str = "application/x-tar",
) -> Any:
    """A request to the kubelet of a node; its answer as it was."""
    from podium.client.connection import pieces_of

    response = api.open(
        method,
        f"/api/v1/nodes/{node}/proxy{path}",
        query=query,
        body=pieces_of(body) if body else None,
        content_type=content_type,
    )
    text = response.read()
    return json.loads(text) if text.strip() else None


def _images(answer: Any) -> list[dict[str, Any]]:
    """The images of an answer: a list, or an object with one."""
    if isinstance(answer, dict):
        answer = answer.get("images") or answer.get("items") or []
    return list(answer or [])


def _short(image: dict[str, Any]) -> str:
    return str(image.get("id", "")).removeprefix("sha256:")[:12]


def _size(image: dict[str, Any]) -> str:
    size = float(image.get("sizeBytes") or image.get("size_bytes") or 0)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
