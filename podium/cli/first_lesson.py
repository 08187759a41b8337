"""Room podium/cli: the end of `make run`: the first lesson applied, shown running, what is next.

Called by `podium up --first-lesson`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from podium.api.scheme import resource
from podium.cli.apply import apply_one, placed
from podium.cli.connection import Connection
from podium.cli.manifest_files import Manifest, read_manifests
from podium.cli.output import columns
from podium.cli.progress import Progress
from podium.cli.waiting import wait_ready

TIMEOUT_S = 120.0
QUERY = {"fieldManager": "podium-apply", "fieldValidation": "Strict"}


def show_first_lesson(data_dir: Path) -> None:
    """Apply manifests/01-…, wait until it runs, show it, the page and kubectl. Repeatable."""
    lesson = first_lesson()
    if lesson is None:
        raise click.ClickException("this installation has no manifests/; see the source tree")
    api = Connection(data_dir / "admin.kubeconfig", None)
    progress = Progress()
    manifests = [placed(api, manifest) for manifest in read_manifests((str(lesson),))]
    progress.line(f"\nthe first lesson, {_shortened(lesson)}:")
    for manifest in manifests:
        applied = apply_one(api, manifest, dict(QUERY))
        progress.line(f"  {manifest} {applied.outcome}")
    for manifest in manifests:
        progress.waiting_for(f"  waiting for {manifest}")
        namespace = manifest.object["metadata"].get("namespace")
        wait_ready(api, manifest.resource, namespace, manifest.name, TIMEOUT_S)
    progress.line(f"  ready after {progress.seconds:.2f} s\n")
    for line in columns(_pod_rows(api, manifests)):
        progress.line(f"  {line}")
    _tell_what_is_next(api, data_dir, lesson)


def first_lesson() -> Path | None:
    """The manifest that comes first; None if the package was installed without them."""
    house = Path(__file__).resolve().parents[2]
    return next(iter(sorted((house / "manifests").glob("01-*.yaml"))), None)


def _pod_rows(api: Connection, manifests: list[Manifest]) -> list[list[str]]:
    """NAME, PHASE, IP, NODE of every Pod that is, or belongs to, what was applied."""
    rows = [["POD", "PHASE", "IP", "NODE"]]
    for manifest in manifests:
        for pod in _pods(api, manifest):
            status = pod.get("status") or {}
            name = pod["metadata"]["name"]
            rows.append(
                [
                    name,
                    status.get("phase", "Pending"),
                    status.get("podIP", "<none>"),
                    pod["spec"].get("nodeName", "<none>"),
                ]
            )
    return rows


def _pods(api: Connection, manifest: Manifest) -> list[dict[str, Any]]:
    namespace = manifest.object["metadata"].get("namespace")
    if manifest.resource.key == "pods":
        return [api.get(manifest.resource, manifest.name, namespace)]
    match = (manifest.object.get("spec") or {}).get("selector", {}).get("matchLabels")
    if not match:
        return []
    selector = ",".join(f"{key}={value}" for key, value in match.items())
    found = api.request("GET", resource("pods").path(namespace), query={"labelSelector": selector})
    return list(found["items"])


def _tell_what_is_next(api: Connection, data_dir: Path, lesson: Path) -> None:
    from podium.cli.ui import login_link

    podium = _shortened(Path(sys.argv[0]).absolute())
    where = "" if str(data_dir) == "/var/lib/podium" else f" --data-dir {data_dir}"
    click.echo(
        f"""
look at it (the link works once; `{podium} ui{where}` makes another):
  {login_link(api)}

talk to it with kubectl:
  export KUBECONFIG={data_dir / "admin.kubeconfig"}
  kubectl get pods -o wide

or with podium:
  {podium} get pods{where}
  {podium} apply{where} -f {_shortened(lesson.parent)}/02-deployment.yaml

stop it with: make stop, or {podium} down{where}"""
    )


def _shortened(path: Path) -> str:
    """Relative to where the user stands, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
