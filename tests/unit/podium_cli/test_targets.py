"""What a command line names."""

from __future__ import annotations

import click
import pytest

from podium.cli.targets import parse_one, parse_targets


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pods",), ["pod/None"]),
        (("po", "a", "b"), ["pod/a", "pod/b"]),
        (("deploy/web", "Pod/x"), ["deployment.apps/web", "pod/x"]),
        (("deployments.apps", "web"), ["deployment.apps/web"]),
        (("rs,po",), ["replicaset.apps/None", "pod/None"]),
        (("all",), ["pod/None", "deployment.apps/None", "replicaset.apps/None"]),
    ],
)
def test_kinds_and_names_are_understood_as_kubectl_does(
    words: tuple[str, ...], expected: list[str]
) -> None:
    assert [str(target) for target in parse_targets(words)] == expected


@pytest.mark.parametrize("words", [("pots",), ("pots/x",), ("pod/x", "y"), ("pod/",), ("a/b/c",)])
def test_what_cannot_be_meant_is_an_error(words: tuple[str, ...]) -> None:
    with pytest.raises(click.ClickException):
        parse_targets(words)


def test_an_unknown_kind_is_told_in_the_servers_words() -> None:
    with pytest.raises(click.ClickException) as caught:
        parse_targets(("pots",))
    assert caught.value.message == 'the server doesn\'t have a resource type "pots"'


def test_one_object_is_wanted_where_one_is_meant() -> None:
    assert str(parse_one(("deploy", "web"))) == "deployment.apps/web"
    with pytest.raises(click.UsageError):
        parse_one(("deploy",))
