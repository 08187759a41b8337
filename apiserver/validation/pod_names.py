"""Rules for how a Pod finds others by name: dnsConfig and hostAliases. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation/validation.go`, v1.32.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from apiserver.validation.causes import each_invalid, invalid, required
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
_NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def pod_names(spec: Object, path: str) -> list[Cause]:
    causes = _dns_config(spec.get("dnsConfig") or {}, f"{path}.dnsConfig")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{path}.hostAliases[{index}]"
        causes += _ip(f"{at}.ip", alias.get("ip") or "")
        for name in alias.get("hostnames") or ():
            causes += each_invalid(f"{at}.hostnames", name, names.dns_subdomain(name))
    return causes


def _dns_config(config: Object, path: str) -> list[Cause]:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    causes: list[Cause] = []
    if len(servers) > MAX_NAMESERVERS:
        why = f"must not have more than {MAX_NAMESERVERS} nameservers"
        causes.append(invalid(f"{path}.nameservers", servers, why))
    for index, server in enumerate(servers):
        causes += _ip(f"{path}.nameservers[{index}]", server)
    if len(searches) > MAX_SEARCHES:
        why = f"must not have more than {MAX_SEARCHES} search paths"
        causes.append(invalid(f"{path}.searches", searches, why))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        why = (
            f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the "
            "search list"
        )
        causes.append(invalid(f"{path}.searches", searches, why))
    for index, search in enumerate(searches):
        problems = names.dns_subdomain(search.removesuffix("."))
        causes += each_invalid(f"{path}.searches[{index}]", search, problems)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            causes.append(required(f"{path}.options[{index}]", "must not be empty"))
    return causes


def _ip(path: str, text: str) -> list[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [invalid(path, text, _NO_IP)]
    return []
