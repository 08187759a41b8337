"""Objects as YAML, the way kubectl prints them. Imports PyYAML when it is first used."""

from __future__ import annotations

from functools import cache
from typing import Any


def to_yaml(obj: Any) -> str:
    """Block style, keys sorted, long texts in `|` blocks."""
    import yaml

    return str(yaml.dump(obj, Dumper=_dumper(), default_flow_style=False, allow_unicode=True))


@cache
def _dumper() -> Any:
    import yaml

    try:
        from yaml import CSafeDumper as Dumper
    except ImportError:  # a PyYAML without libyaml
        from yaml import SafeDumper as Dumper  # type: ignore[assignment]

    class Ours(Dumper):
        pass

    def text(dumper: Any, value: str) -> Any:
        tag = "tag:yaml.org,2002:str"
        # A text that would be read as something else ("1", "yes", a time) is put in quotes.
        is_plain = dumper.resolve(yaml.ScalarNode, value, (True, False)) == tag
        style = "|" if "\n" in value else None if is_plain else '"'
        return dumper.represent_scalar(tag, value, style=style)

    Ours.add_representer(str, text)
    return Ours
