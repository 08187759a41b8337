"""Rules for how a container lives: probes, hooks, its own restartPolicy. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import re
from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    in_range,
    invalid,
    not_negative,
    not_supported,
    required,
)
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
_SCHEMES = ("HTTP", "HTTPS")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
           "failureThreshold")  # fmt: skip
_GRACE = "terminationGracePeriodSeconds"
_LIFE = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_HEADER = re.compile(r"[-A-Za-z0-9]+")
_NO_HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "
    "regex used for validation is '[-A-Za-z0-9]+')"
)


def container_life(container: Object, kind: str, at: str, grace_s: int | None) -> list[Cause]:
    """`kind` is the list it is in: "containers" or "initContainers"; `grace_s` is the Pod's."""
    policy = container.get("restartPolicy")
    if kind == "containers":
        causes = _lives(container, at, grace_s)
        if policy is not None:
            why = "may not be set for non-init containers"
            causes.append(forbidden(f"{at}.restartPolicy", why))
        return causes
    causes = []
    if policy is not None and policy != "Always":
        causes.append(not_supported(f"{at}.restartPolicy", policy, ("Always",)))
    if policy == "Always":
        return causes + _lives(container, at, grace_s)
    why = "may not be set for init containers without restartPolicy=Always"
    return causes + [
        forbidden(f"{at}.{field}", why) for field in _LIFE if container.get(field) is not None
    ]


def _lives(container: Object, at: str, grace_s: int | None) -> list[Cause]:
    causes: list[Cause] = []
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            causes += _handler(handler, f"{at}.lifecycle.{hook}", _HOOKS, grace_s)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(kind)) is not None:
            causes += _probe(probe, kind, f"{at}.{kind}")
    return causes


def _probe(probe: Object, kind: str, path: str) -> list[Cause]:
    causes = _handler(probe, path, _HANDLERS, None)
    for name in _COUNTS:
        causes += not_negative(f"{path}.{name}", probe.get(name))
    grace = probe.get(_GRACE)
    if grace is not None and grace <= 0:
        causes.append(invalid(f"{path}.{_GRACE}", grace, "must be greater than 0"))
    if kind == "readinessProbe":
        if grace is not None:
            causes.append(invalid(f"{path}.{_GRACE}", grace, "must not be set for readinessProbes"))
    elif probe.get("successThreshold", 1) != 1:
        causes.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _handler(holder: Object, path: str, kinds: tuple[str, ...], grace_s: int | None) -> list[Cause]:
    """What a probe or a hook does: exactly one thing."""
    found = [kind for kind in kinds if holder.get(kind) is not None]
    if not found:
        return [required(path, "must specify a handler type")]
    more = "may not specify more than 1 handler type"
    at, what = f"{path}.{found[0]}", holder[found[0]]
    return [
        *_action(found[0], what, at, grace_s),
        *(forbidden(f"{path}.{kind}", more) for kind in found[1:]),
    ]


def _action(kind: str, what: Object, at: str, grace_s: int | None) -> list[Cause]:
    match kind:
        case "exec":
            return [] if what.get("command") else [required(f"{at}.command")]
        case "httpGet":
            return _http_get(what, at)
        case "tcpSocket":
            return _port(what.get("port", 0), f"{at}.port")
        case "grpc":
            return in_range(f"{at}.port", what.get("port", 0), 1, 65535)
    return _sleep(what.get("seconds", 0), at, grace_s)


def _http_get(get: Object, at: str) -> list[Cause]:
    causes = [] if get.get("path") else [required(f"{at}.path")]
    causes += _port(get.get("port", 0), f"{at}.port")
    if get.get("scheme") not in _SCHEMES:
        causes.append(not_supported(f"{at}.scheme", get.get("scheme", ""), _SCHEMES))
    for header in get.get("httpHeaders") or ():
        name = header.get("name", "")
        if not _HEADER.fullmatch(name):
            causes.append(invalid(f"{at}.httpHeaders", name, _NO_HEADER))
    return causes


def _port(value: int | str, path: str) -> list[Cause]:
    """A number or the name of one."""
    if isinstance(value, str):
        return each_invalid(path, value, names.port_name(value))
    return in_range(path, value, 1, 65535)


def _sleep(seconds: int, at: str, grace_s: int | None) -> list[Cause]:
    if grace_s is None or 0 < seconds <= grace_s:
        return []
    why = (
        f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace_s}). Enable "
        "AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
    )
    return [invalid(at, seconds, why)]
