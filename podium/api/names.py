"""What a name may look like, in Kubernetes' words. Source: API conventions, RFC 1123."""

from __future__ import annotations

import re

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
ENV_NAME = re.compile(r"[^=\x00-\x1f\x7f-\uffff]+")

LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
CONFIG_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  "
    "or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def dns_label(text: str) -> list[str]:
    """What is wrong with it; [] when it is a DNS-1123 label."""
    problems = [_too_long(63)] if len(text) > 63 else []
    return problems + ([] if DNS_LABEL.fullmatch(text) else [LABEL_WORDS])


def dns_subdomain(text: str) -> list[str]:
    problems = [_too_long(253)] if len(text) > 253 else []
    return problems + ([] if DNS_SUBDOMAIN.fullmatch(text) else [SUBDOMAIN_WORDS])


def label_key(text: str) -> list[str]:
    """A label's or annotation's key: [prefix/]name."""
    prefix, slash, name = text.rpartition("/")
    problems = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {p}" for p in dns_subdomain(prefix)]
    if not name:
        return [*problems, "name part must be non-empty", QUALIFIED_WORDS]
    if len(name) > 63:
        problems.append(f"name part {_too_long(63)}")
    return problems + ([] if QUALIFIED.fullmatch(name) else [QUALIFIED_WORDS])


def label_value(text: str) -> list[str]:
    problems = [_too_long(63)] if len(text) > 63 else []
    return problems + ([] if not text or QUALIFIED.fullmatch(text) else [VALUE_WORDS])


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    problems = [_too_long(253)] if len(text) > 253 else []
    if text in (".", "..") or text.startswith(".."):
        return [*problems, f"a valid config key must not be '{text}'"]
    return problems + ([] if CONFIG_KEY.fullmatch(text) else [CONFIG_KEY_WORDS])


def port_name(text: str) -> list[str]:
    """IANA service name: at most 15 of [a-z0-9-], at least one letter."""
    problems = []
    if len(text) > 15:
        problems.append(_too_long(15))
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
    if ENV_NAME.fullmatch(text):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
