"""Rules for ReplicaSets, Deployments and their `scale`. Room: the API server.

Source: Kubernetes' `pkg/apis/apps/validation`, v1.32.
"""

from __future__ import annotations

import re
from typing import Any

from apiserver.validation import metadata, pods
from apiserver.validation.causes import (
    GoValue,
    forbidden,
    go_int_or_string,
    go_labels,
    go_selector,
    immutable,
    invalid,
    not_negative,
    not_supported,
    quoted,
    required,
)
from podium.api import selectors
from podium.api.status import Cause

Object = dict[str, Any]

_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_WORDS = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)


def validate_replicaset(replicaset: Object) -> list[Cause]:
    spec = replicaset.get("spec") or {}
    causes = not_negative("spec.replicas", spec.get("replicas"))
    causes += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return causes + _selector_and_template(spec)


def validate_deployment(deployment: Object) -> list[Cause]:
    spec = deployment.get("spec") or {}
    causes = not_negative("spec.replicas", spec.get("replicas"))
    causes += _selector_and_template(spec)
    causes += _strategy(spec.get("strategy") or {})
    for name in ("minReadySeconds", "revisionHistoryLimit"):
        causes += not_negative(f"spec.{name}", spec.get(name))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        path = "spec.progressDeadlineSeconds"
        causes += not_negative(path, deadline)
        if deadline <= spec.get("minReadySeconds", 0):
            causes.append(invalid(path, deadline, "must be greater than minReadySeconds"))
    return causes


def validate_selector_update(new: Object, old: Object) -> list[Cause]:
    """A selector never changes: the objects that it chose would be orphaned."""
    selector, was = (o.get("spec", {}).get("selector") for o in (new, old))
    if not immutable("spec.selector", selector, was):
        return []
    return [invalid("spec.selector", go_selector(selector), "field is immutable")]


def validate_scale(scale: Object) -> list[Cause]:
    return not_negative("spec.replicas", (scale.get("spec") or {}).get("replicas"))


def _selector_and_template(spec: Object) -> list[Cause]:
    causes: list[Cause] = []
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
    else:
        causes += metadata.label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            why = "empty selector is invalid for deployment"
            causes.append(invalid("spec.selector", go_selector(selector), why))
    try:
        chosen = selectors.from_dict(selector)
    except selectors.SelectorError:
        return [*causes, invalid("spec.selector", go_selector(selector), "invalid label selector")]
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if selector is None or not chosen.matches(labels):
        why = "`selector` does not match template `labels`"
        causes.append(invalid("spec.template.metadata.labels", go_labels(labels), why))
    return causes + _template(template)


def _template(template: Object) -> list[Cause]:
    causes = pods.template(template, "spec.template")
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        causes.append(not_supported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        why = "activeDeadlineSeconds in ReplicaSet is not Supported"
        causes.append(forbidden("spec.template.spec.activeDeadlineSeconds", why))
    return causes


def _strategy(strategy: Object) -> list[Cause]:
    rolling = strategy.get("rollingUpdate")
    match strategy.get("type", ""):
        case "Recreate":
            if rolling is not None:
                why = "may not be specified when strategy `type` is 'Recreate'"
                return [forbidden("spec.strategy.rollingUpdate", why)]
            return []
        case "RollingUpdate":
            return _rolling_update(rolling or {}, "spec.strategy.rollingUpdate")
    update = "(*apps.RollingUpdateDeployment)(nil)"
    kind = quoted(strategy.get("type", ""))
    value = GoValue(f"apps.DeploymentStrategy{{Type:{kind}, RollingUpdate:{update}}}")
    return [not_supported("spec.strategy", value, ("Recreate", "RollingUpdate"))]


def _rolling_update(rolling: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    amounts: dict[str, int] = {}
    for name in ("maxUnavailable", "maxSurge"):
        value = rolling.get(name, 0)
        at = f"{path}.{name}"
        if isinstance(value, int):
            causes += not_negative(at, value)
            amounts[name] = value
        elif _PERCENT.fullmatch(value):
            amounts[name] = int(value[:-1])
        else:
            causes.append(invalid(at, go_int_or_string(value), _PERCENT_WORDS))
    unavailable = rolling.get("maxUnavailable", 0)
    shown = go_int_or_string(unavailable)
    if amounts.get("maxUnavailable") == 0 and amounts.get("maxSurge") == 0:
        why = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid(f"{path}.maxUnavailable", shown, why))
    if isinstance(unavailable, str) and amounts.get("maxUnavailable", 0) > 100:
        causes.append(invalid(f"{path}.maxUnavailable", shown, "must not be greater than 100%"))
    return causes
