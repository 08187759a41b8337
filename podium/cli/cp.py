"""Room podium/cli: `podium cp` copies files into and out of a container, with the tar that is in
it.

What comes out of a container is not trusted: links are left out, and nothing is written outside of
where the user has said.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from podium.cli.options import api_options
from podium.cli.pods_of import choose_container, find_pod

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@dataclass(frozen=True)
class Place:
    """`web:/tmp/x` or `ns/web:/tmp/x` in a Pod, `./x` here (`pod` "")."""

    pod: str
    namespace: str
    path: str


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("-c", "--container", help="Which container (default: the first).")
@api_options
def command(*, api: Connection, source: str, target: str, container: str | None) -> None:
    """Copy a file or a directory: podium cp ./site web:/srv, podium cp web:/srv/log ./log."""
    ours, theirs = parse_place(source), parse_place(target)
    if bool(ours.pod) == bool(theirs.pod):
        raise click.UsageError("one of the two must be in a pod, as in web:/tmp/file")
    pod = ours if ours.pod else theirs
    if pod.namespace:
        api.given_namespace = pod.namespace
    tar = Tar(api, pod.pod, container)
    if theirs.pod:
        upload(tar, Path(ours.path), PurePosixPath(theirs.path))
    else:
        download(tar, PurePosixPath(ours.path), Path(theirs.path))


def parse_place(word: str) -> Place:
    """A colon after a slash-free (or ns/pod) beginning makes it a Pod's."""
    pod, colon, path = word.partition(":")
    if not colon or word.startswith((".", "/")):
        return Place("", "", word)
    if not path:
        raise click.UsageError(f"{word!r}: say where in the container, as in web:/tmp/file")
    namespace, _, name = pod.rpartition("/")
    return Place(name, namespace, path)


class Tar:
    """Runs tar in a container."""

    def __init__(self, api: Connection, pod: str, container: str | None) -> None:
        self._api = api
        found = find_pod(api, pod)
        self._about = found["metadata"]
        self._container = choose_container(found, container)

    def run(self, argv: list[str], *, stdin_fd: int | None = None, stdout_fd: int = 1) -> int:
        """Its exit code."""
        from podium.cli.exec_stream import run_stream

        query = [
            *(("command", word) for word in argv),
            ("container", self._container),
            ("stdin", "false" if stdin_fd is None else "true"),
            ("stdout", "true"),
            ("stderr", "true"),
        ]
        about = self._about
        path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/exec"
        return run_stream(
            self._api, f"{path}?{urlencode(query)}", stdin=stdin_fd is not None,
            is_terminal=False, stdin_fd=stdin_fd or 0, stdout_fd=stdout_fd,
        )  # fmt: skip


# --- into a container -----------------------------------------------------------------------------


def upload(tar: Tar, source: Path, target: PurePosixPath) -> None:
    """`target` is the copy's own name, or a directory that gets it."""
    if not source.exists():
        raise click.ClickException(f"{source} doesn't exist in local filesystem")
    if tar.run(["test", "-d", str(target)]) == 0:
        target = target / source.resolve().name

    def write(fd: int) -> None:
        with open(fd, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
            archive.add(source, arcname=target.name, filter=_without_owner)

    argv = ["tar", "-xmf", "-", "-C", str(target.parent)]
    _expect_success(_piped(lambda fd: tar.run(argv, stdin_fd=fd), write, is_upload=True))


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who owns it here means nothing there."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# --- out of a container ---------------------------------------------------------------------------


def download(tar: Tar, source: PurePosixPath, target: Path) -> None:
    """`target` is the copy's own name, or a directory that gets it."""
    if target.is_dir():
        target = target / source.name

    def read(fd: int) -> None:
        with open(fd, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                _extract(archive, member, source, target)
            while file.read(1 << 16):  # what pads the archive
                pass

    argv = ["tar", "cf", "-", "-C", str(source.parent), "--", source.name]
    _expect_success(_piped(lambda fd: tar.run(argv, stdout_fd=fd), read, is_upload=False))


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, source: PurePosixPath, target: Path
) -> None:
    parts = PurePosixPath(member.name).parts
    if parts[:1] != (source.name,) or ".." in parts:
        click.echo(f"warning: {member.name} is not below {source}, skipped", err=True)
        return
    path = target.joinpath(*parts[1:])
    if _leads_out(path, target):
        click.echo(f"warning: {path} leads out of {target}, skipped", err=True)
    elif member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif member.isfile() and (content := archive.extractfile(member)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        path.chmod(member.mode & 0o777)
    else:
        click.echo(f"warning: {member.name} is no file and no directory, skipped", err=True)


def _leads_out(path: Path, target: Path) -> bool:
    """Whether a link that is there already leads elsewhere."""
    if path == target:
        return False
    return path.is_symlink() or not path.parent.resolve().is_relative_to(target.resolve())


# --- both -----------------------------------------------------------------------------------------


def _piped(run: Callable[[int], int], other: Callable[[int], None], *, is_upload: bool) -> int:
    """`run` on one end of a pipe here, `other` on the other end in a thread; the exit code."""
    reader, writer = os.pipe()
    ours, theirs = (reader, writer) if is_upload else (writer, reader)
    failures: list[Exception] = []

    def work() -> None:
        try:
            other(theirs)
        except BrokenPipeError:
            return  # tar has ended, and has said why
        except (OSError, tarfile.TarError) as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        code = run(ours)
    finally:
        os.close(ours)
        thread.join()
    if failures and code == 0:
        raise click.ClickException(str(failures[0]))
    return code


def _expect_success(code: int) -> None:
    if code:
        raise click.ClickException(f"tar in the container ended with exit code {code}")
