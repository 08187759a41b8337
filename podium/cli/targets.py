"""Room podium/cli: what a command line names: `pods`, `pod/web`, `deploy web api`, `po,rs`, `all`.

Used by every verb that takes objects by name. Pure functions over podium.api.scheme.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from podium.api import scheme
from podium.api.scheme import Resource


@dataclass(frozen=True, slots=True)
class Target:
    """A kind, and one object of it or (`name` None) all of them."""

    resource: Resource
    name: str | None = None

    def __str__(self) -> str:
        """As `-o name` prints it: "deployment.apps/web"."""
        return f"{kind_name(self.resource)}/{self.name}"


def kind_name(resource: Resource) -> str:
    """ "pod", "deployment.apps": the singular with its group."""
    return f"{resource.singular}.{resource.group}" if resource.group else resource.singular


def find_resource(word: str) -> Resource:
    """A kind by plural, singular, short name or kind, with or without its group."""
    try:
        return scheme.resource(word)
    except LookupError:
        message = f'the server doesn\'t have a resource type "{word}"'
        raise click.ClickException(message) from None


def _find_resources(word: str) -> list[Resource]:
    """A kind, or all kinds of a category such as "all"."""
    of_category = [found for found in scheme.all_resources() if word in found.categories]
    return of_category or [find_resource(word)]


def parse_targets(words: tuple[str, ...]) -> list[Target]:
    """`("pod/web", "deploy/api")`, `("pods", "web", "api")` or `("po,deploy",)`."""
    if not words:
        raise click.UsageError("name what you mean, e.g. pods, pod/web or deploy web")
    if any("/" in word for word in words):
        return [_slashed(word) for word in words]
    kinds, names = words[0], words[1:]
    resources = [resource for kind in kinds.split(",") for resource in _find_resources(kind)]
    if not names:
        return [Target(resource) for resource in resources]
    return [Target(resource, name) for resource in resources for name in names]


def parse_one(words: tuple[str, ...]) -> Target:
    """Exactly one object, as `pod/web` or `pod web`."""
    targets = parse_targets(words)
    if len(targets) != 1 or targets[0].name is None:
        raise click.UsageError("name one object, e.g. deployment/web")
    return targets[0]


def _slashed(word: str) -> Target:
    kind, slash, name = word.partition("/")
    if not slash or not kind or not name or "/" in name:
        raise click.UsageError(
            f'"{word}": when one is named as kind/name, all must be (e.g. pod/web deploy/api)'
        )
    return Target(find_resource(kind), name)
