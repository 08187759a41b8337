"""What a name may look like, in Kubernetes' words. Every rule gives the list of what is wrong.

Called by the API server's validation and by selectors. Source: apimachinery `pkg/util/validation`,
v0.32.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

DNS_LABEL = re.compile(_LABEL)
DNS_SUBDOMAIN = re.compile(_SUBDOMAIN)
QUALIFIED = re.compile(_QUALIFIED)
CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PRINTABLE = re.compile(r"[ -<>-~]+")  # ASCII without "="

LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_QUALIFIED_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED}')"
)
VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '({_QUALIFIED})?')"
)
CONFIG_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
ENV_WORDS = (
    "a valid environment variable name must consist only of printable ASCII characters other than "
    "'='"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def _length(text: str, limit: int) -> list[str]:
    return [_too_long(limit)] if len(text.encode()) > limit else []


@lru_cache(maxsize=2048)
def _dns_label(text: str) -> tuple[str, ...]:
    problems = _length(text, 63)
    if DNS_LABEL.fullmatch(text):
        return tuple(problems)
    has_dots = DNS_SUBDOMAIN.fullmatch(text) is not None
    return (*problems, "must not contain dots" if has_dots else LABEL_WORDS)


def dns_label(text: str) -> list[str]:
    """A DNS-1123 label: namespaces, containers, volumes."""
    return list(_dns_label(text))


@lru_cache(maxsize=2048)
def _dns_subdomain(text: str) -> tuple[str, ...]:
    return (*_length(text, 253), *(() if DNS_SUBDOMAIN.fullmatch(text) else (SUBDOMAIN_WORDS,)))


def dns_subdomain(text: str) -> list[str]:
    """A DNS-1123 subdomain: most objects' names."""
    return list(_dns_subdomain(text))


@lru_cache(maxsize=2048)
def _label_key(text: str) -> tuple[str, ...]:
    prefix, slash, name = text.partition("/")
    if "/" in name:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a qualified name {_QUALIFIED_WORDS} {optional}",)
    problems: list[str] = []
    if not slash:
        name = prefix
    elif not prefix:
        problems.append("prefix part must be non-empty")
    else:
        problems += [f"prefix part {p}" for p in _dns_subdomain(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    problems += [f"name part {p}" for p in _length(name, 63)]
    if not QUALIFIED.fullmatch(name):
        problems.append(f"name part {_QUALIFIED_WORDS}")
    return tuple(problems)


def label_key(text: str) -> list[str]:
    """A label's or annotation's key: [prefix/]name."""
    return list(_label_key(text))


@lru_cache(maxsize=2048)
def _label_value(text: str) -> tuple[str, ...]:
    is_valid = not text or QUALIFIED.fullmatch(text)
    return (*_length(text, 63), *(() if is_valid else (VALUE_WORDS,)))


def label_value(text: str) -> list[str]:
    return list(_label_value(text))


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    problems = _length(text, 253)
    if not CONFIG_KEY.fullmatch(text):
        problems.append(CONFIG_KEY_WORDS)
    if text in (".", ".."):
        problems.append(f"must not be '{text}'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(text: str) -> list[str]:
    """IANA service name: at most 15 of [a-z0-9-], at least one letter."""
    problems = _length(text, 15)
    if not re.fullmatch(r"[-a-z0-9]+", text):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", text):
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def env_name(text: str) -> list[str]:
    if not text:
        return ["environment variable name must be non-empty"]
    return [] if _PRINTABLE.fullmatch(text) else [ENV_WORDS]
