"""Names are judged by Kubernetes' rules, in its words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podium.api import names

Rule = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (names.dns_label, "web-1"),
        (names.dns_label, "1"),
        (names.dns_subdomain, "a.b-c.d"),
        (names.label_key, "app"),
        (names.label_key, "example.com/My_App.1"),
        (names.label_value, ""),
        (names.label_value, "A.b_c-1"),
        (names.config_key, ".profile"),
        (names.port_name, "http-2"),
        (names.env_name, "with space and ünïcode"[:10]),
    ],
)
def test_a_good_name_has_no_problems(rule: Rule, text: str) -> None:
    assert rule(text) == []


@pytest.mark.parametrize(
    ("rule", "text", "problem"),
    [
        (names.dns_label, "Web", "a lowercase RFC 1123 label must consist"),
        (names.dns_label, "a.b", "must not contain dots"),
        (names.dns_label, "web\n", "a lowercase RFC 1123 label must consist"),
        (names.dns_label, "a" * 64, "must be no more than 63 characters"),
        (names.dns_subdomain, "a..b", "a lowercase RFC 1123 subdomain must consist"),
        (names.dns_subdomain, "a" * 300, "must be no more than 253 characters"),
        (names.label_key, "", "name part must be non-empty"),
        (names.label_key, "/x", "prefix part must be non-empty"),
        (names.label_key, "a/b/c", "with an optional DNS subdomain prefix and '/'"),
        (names.label_key, "UP/x", "prefix part a lowercase RFC 1123 subdomain"),
        (names.label_value, "-x", "a valid label must be an empty string or consist"),
        (names.config_key, "..", "must not be '..'"),
        (names.config_key, "..x", "must not start with '..'"),
        (names.config_key, "a b", "a valid config key must consist"),
        (names.port_name, "123", "must contain at least one letter (a-z)"),
        (names.port_name, "a--b", "must not contain consecutive hyphens"),
        (names.env_name, "", "environment variable name must be non-empty"),
        (names.env_name, "A=B", "printable ASCII characters other than '='"),
    ],
)
def test_a_bad_name_is_told_what_is_wrong(rule: Rule, text: str, problem: str) -> None:
    assert any(problem in found for found in rule(text))


def test_a_long_name_of_wrong_characters_has_both_problems() -> None:
    assert len(names.dns_subdomain("A" * 300)) == 2
