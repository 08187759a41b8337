"""Room podium/cli: the `podium` command. One file a verb, imported only when that verb is used.

Called by the console script (pyproject's [project.scripts]). Importing this module must stay cheap:
click and the standard library's small change only; no ssl, http, yaml or schema here.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator

import click

# verb: (module in podium.cli, one line of help). The help stands here so that `podium --help`
# imports nothing.
VERBS = {
    "up": ("up", "Start the cluster; returns (with -d) when its node is Ready."),
    "down": ("down", "Stop the cluster and its containers; keep the data."),
    "status": ("status", "Show what runs."),
    "kubeconfig": ("kubeconfig", "Print the path of the admin's kubeconfig."),
    "ui": ("ui", "Print a one-time login link to the status page."),
    "apply": ("apply", "Create or change objects as a manifest says."),
    "get": ("get", "List objects, or print them."),
    "diff": ("diff", "Show what is different between two moments."),
    "history": ("history", "Show an object's changes, also after its end."),
    "describe": ("describe", "Show one object with what belongs to it, and its events."),
    "why": ("why", "Say why a Pod is on its node, or on none."),
    "trace": ("trace", "Show what a change has led to, down to each process."),
    "delete": ("delete", "Delete objects by name, label or manifest."),
    "logs": ("logs", "Print the logs of a container."),
    "exec": ("exec", "Run a command in a container."),
    "attach": ("attach", "Join a running container's own streams."),
    "cp": ("cp", "Copy files into and out of a container."),
    "port-forward": ("port_forward", "Lead local ports to a Pod's."),
    "inspect": ("inspect", "Show the kernel behind a Pod: limits, namespaces, processes, mounts."),
    "top": ("top", "Show the CPU and memory in use."),
    "scale": ("scale", "Set the number of replicas."),
    "rollout": ("rollout", "Watch, undo, restart, pause or resume a rollout."),
    "debug": ("debug", "Stop loops at breakpoints, step, and let things go wrong."),
    "fault": ("fault", "Let things go wrong in a cluster started with --lab."),
    "lesson": ("lesson", "Learn, step by step, what runs here; lessons check themselves."),
    "image": ("image", "Pull, load, list or remove images on a node."),
}
SECTIONS = {
    "Cluster": ("up", "down", "status", "kubeconfig", "ui"),
    "Objects": ("apply", "get", "describe", "why", "delete", "scale", "rollout"),
    "Inside": ("trace", "history", "diff", "debug", "fault", "lesson"),
    "Containers": ("logs", "exec", "attach", "cp", "port-forward", "top", "inspect", "image"),
}


class Verbs(click.Group):
    """A group that knows its verbs' names and help, and imports a verb when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order of a day's work."""
        return [verb for verbs in SECTIONS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import podium/cli/<verb>.py and give its `command`."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"podium.cli.{VERBS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, without importing any."""
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, VERBS[verb][1]) for verb in verbs])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and name what may have been meant."""
        verb = args[0]
        if verb not in VERBS and not verb.startswith("-"):
            import difflib

            close = difflib.get_close_matches(verb, VERBS, 1)
            hint = f'; did you mean "{close[0]}"?' if close else "; see podium --help"
            ctx.fail(f'unknown command "{verb}"{hint}')
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", metavar="DIR", help="The cluster's data directory.")
@click.option("--kubeconfig", metavar="FILE", help="Another cluster's kubeconfig.")
@click.option("-n", "--namespace", metavar="NS", help="The namespace to work in.")
@click.version_option(package_name="podium", message="podium %(version)s")
@click.pass_context
def podium(
    ctx: click.Context, data_dir: str | None, kubeconfig: str | None, namespace: str | None
) -> None:
    """A Kubernetes you can read, that runs.

    Everything a cluster has lies in its data directory: /var/lib/podium, else --data-dir or
    PODIUM_DATA_DIR.
    """
    ctx.obj = {"data_dir": data_dir, "kubeconfig": kubeconfig, "namespace": namespace}


def main() -> None:
    """The console script: run the verb; errors go to stderr in one voice, exit code 1."""
    try:
        code = podium.main(standalone_mode=False, prog_name="podium")
    except Exception as error:  # noqa: BLE001 - the last frame: what is unknown is raised again
        code = report(error)
    # Output that could not be written (`podium get pods | head`) is no error of ours.
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code if isinstance(code, int) else 0)


def report(error: Exception) -> int:
    """Tell an error on stderr; the exit code. Raises what is a bug of ours, with its traceback."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return 130  # interrupted: 128 + SIGINT
    if isinstance(error, click.ClickException):
        if type(error).show is click.ClickException.show:
            click.echo(f"error: {error.message}", err=True)  # as kubectl, in lower case
        else:
            error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141  # 128 + SIGPIPE, as any Unix tool
    lines = list(_explained(error))
    if not lines:
        raise error
    for line in lines:
        click.echo(line, err=True)
    return 1


def _explained(error: Exception) -> Iterator[str]:
    """The lines that tell an error of the API or of the machine; none for a bug."""
    if "podium.client.errors" in sys.modules:
        from podium.cli.refusal import explain

        yield from explain(error)
    if isinstance(error, OSError) and error.filename:
        yield f"error: {error.filename}: {(error.strerror or str(error)).lower()}"


if __name__ == "__main__":
    main()
