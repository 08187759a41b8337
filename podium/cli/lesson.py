"""Room podium/cli: `podium lesson`, a path from a process to a cluster. Texts and checks are in
podium/lessons; here is only how they are asked for and told.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options

if TYPE_CHECKING:
    from podium.cli.connection import Connection
    from podium.lessons.checking import Report
    from podium.lessons.path import Lesson
    from podium.lessons.world import World

COLUMNS = 80


class Lessons(click.Group):
    """`podium lesson 3` is `podium lesson show 3`; without a word, the list."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A number is a lesson to show."""
        if args[0].lstrip("-").isdigit():
            return "show", show, args
        if args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f'"{args[0]}" is neither a lesson\'s number nor {", ".join(self.commands)}')
        return super().resolve_command(ctx, args)


class Number(click.ParamType):  # type: ignore[type-arg] # generic in newer versions only
    """A lesson by its number."""

    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Lesson:
        """The lesson; an unknown number fails with what there is."""
        from podium.lessons.path import UnknownLesson, lesson, lessons

        try:
            return lesson(int(value))
        except ValueError:
            raise click.ClickException(
                f'a lesson is told by its number, 1 to {len(lessons())}, not "{value}"'
            ) from None
        except UnknownLesson as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Lessons, invoke_without_command=True)
@click.option("-o", "--output", type=click.Choice(["json"]), help="The list as JSON.")
@api_options
@click.pass_context
def command(ctx: click.Context, *, api: Connection, output: str | None) -> None:
    """A path from a process to a cluster, in lessons that check themselves.

    podium lesson 1 shows the first. Each asks for a prediction, lets you see what happens, and
    checks that against the API and the kernel.
    """
    ctx.obj = {**(ctx.obj or {}), "lesson_api": api}
    if ctx.invoked_subcommand is None:
        _list(api, output)


@command.command()
@click.argument("lesson", type=Number())
def show(*, lesson: Lesson) -> None:
    """Show a lesson; needs no cluster and no network."""
    from podium.lessons.terminal import render

    for line in render(lesson.text, is_bold=sys.stdout.isatty()):
        click.echo(line)


@command.command()
@click.argument("lesson", type=Number())
@click.argument("answer")
@click.pass_context
def predict(ctx: click.Context, *, lesson: Lesson, answer: str) -> None:
    """Say what will happen, before it does: podium lesson predict 1 b."""
    from podium.lessons import record

    letters = lesson.answers
    if answer.lower() not in letters:
        known = f"{', '.join(letters[:-1])} or {letters[-1]}"
        raise click.ClickException(f'lesson {lesson.number} takes {known}, not "{answer}"')
    try:
        record.predict(_api(ctx).client, lesson, answer.lower())
    except record.AlreadyPassed as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"lesson {lesson.number}: you predict {answer.lower()}; now let it happen")


@command.command()
@click.argument("lesson", type=Number())
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=5.0, metavar="SECONDS",
              help="Look again for so long, as loops may be at work (5).")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["json"]))
@click.pass_context
def check(ctx: click.Context, *, lesson: Lesson, wait_s: float, output: str | None) -> None:
    """Check a lesson against the API and the kernel. Exit code 1 if something is missing."""
    from podium.lessons import checking
    from podium.lessons.world import NotRoot

    try:
        report = checking.report(lesson, _world(_api(ctx), lesson), wait_s)
    except NotRoot as error:
        raise click.ClickException(str(error)) from None
    if output == "json":
        click.echo(json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False))
    else:
        _tell(report)
    if not report.passed:
        raise SystemExit(1)


@command.command()
@click.argument("lesson", type=Number())
@click.option("--forget", is_flag=True, help="Forget also the prediction and that it was passed.")
@click.pass_context
def clean(ctx: click.Context, *, lesson: Lesson, forget: bool) -> None:
    """Remove what a lesson made in the cluster."""
    from podium.lessons import checking, record

    world = _world(_api(ctx), lesson)
    try:
        was_there = checking.clean(lesson, world)
    except TimeoutError as error:
        raise click.ClickException(str(error)) from None
    if forget or record.PASSED_AT not in record.read(world.client, lesson):
        record.forget(world.client, lesson)
    told = "removed" if was_there else "was not there"
    click.echo(f"lesson {lesson.number}: namespace {lesson.namespace} {told}")


def _list(api: Connection, output: str | None) -> None:
    """Every lesson and how far it is; without a cluster, the lessons."""
    from podium.lessons import record
    from podium.lessons.path import lessons

    try:
        known = record.read_all(api.client)
        problem = None
    except Exception as error:  # noqa: BLE001 - told below; the list needs no cluster
        known, problem = {}, error
    states = [
        {"lesson": one.number, "title": one.title, **known.get(one.namespace, {})}
        for one in lessons()
    ]
    if output == "json":
        click.echo(json.dumps(states, indent=2, ensure_ascii=False))
    else:
        _print_list(states)
    if problem is not None:
        click.echo(f"what you have passed is kept in the cluster: {problem}", err=True)


def _print_list(states: list[dict[str, Any]]) -> None:
    from podium.cli.output import columns

    rows = [[str(one["lesson"]), one["title"], _state(one)] for one in states]
    for line in columns([["", "LESSON", "STATE"], *rows]):
        click.echo(line)
    click.echo("\nread one with: podium lesson 1")


def _state(data: dict[str, Any]) -> str:
    if "passedAt" in data:
        return f"passed {data['passedAt'][:10]}"
    return f"predicted {data['predicted']}" if "predicted" in data else "-"


def _tell(report: Report) -> None:
    """A line for each finding; if all hold, the prediction beside what happened."""
    for finding in report.findings:
        click.echo(f"{'✓' if finding.holds else '✗'} {finding.what}")
        if not finding.holds and finding.hint:
            _say(f"→ {finding.hint}", "  ", "    ")
    number = report.lesson
    if not report.passed:
        missing = sum(not finding.holds for finding in report.findings)
        click.echo(f"\nlesson {number}: {missing} of {len(report.findings)} to go")
        return
    if report.predicted == report.happened:
        click.echo(f"\nyou predicted {report.predicted}, and that is what happened:")
    elif report.happened:
        click.echo(f"\nyou predicted {report.predicted}; what happened is {report.happened}:")
    _say(report.because, "  ", "  ")
    click.echo(f"\nlesson {number} passed; clean up: podium lesson clean {number}")


def _say(text: str, first: str, others: str) -> None:
    click.echo(textwrap.fill(text, COLUMNS, initial_indent=first, subsequent_indent=others,
                             break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _api(ctx: click.Context) -> Connection:
    api: Connection = ctx.obj["lesson_api"]
    return api


def _world(api: Connection, lesson: Lesson) -> World:
    """What the checks see. The cluster's own processes are known where its data directory is."""
    from podium.cli.processes import read_components
    from podium.lessons.world import World

    components = {one.name: one.pid for one in read_components(api.kubeconfig.parent) if one.pid}
    return World(api.client, lesson.namespace, components)
