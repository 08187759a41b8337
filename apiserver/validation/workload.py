"""Deployments and ReplicaSets."""

from __future__ import annotations

import re
from typing import Any

from apiserver.validation import metadata, pod
from apiserver.validation.causes import IMMUTABLE, forbidden, invalid, not_negative, required, unsupported
from podium.api import names
from podium.api.selectors import SelectorError, from_dict
from podium.api.status import Cause

Object = dict[str, Any]


def validate_replicaset(replicaset: Object, causes: list[Cause]) -> None:
    spec = replicaset.get("spec") or {}
    not_negative("spec.replicas", spec.get("replicas"), causes)
    not_negative("spec.minReadySeconds", spec.get("minReadySeconds"), causes)
    _selector_and_template(spec, causes)


def validate_deployment(deployment: Object, causes: list[Cause]) -> None:
    spec = deployment.get("spec") or {}
    for name in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        not_negative(f"spec.{name}", spec.get(name), causes)
    _selector_and_template(spec, causes)
    _strategy(spec.get("strategy") or {}, causes)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        not_negative("spec.progressDeadlineSeconds", deadline, causes)
        if deadline <= (spec.get("minReadySeconds") or 0):
            causes.append(
                invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
            )


def _selector_and_template(spec: Object, causes: list[Cause]) -> None:
    selector, template = spec.get("selector"), spec.get("template")
    readable = _selector(selector, causes)
    if not isinstance(template, dict):
        causes.append(required("spec.template"))
        return
    found = (template.get("metadata") or {}).get("labels") or {}
    if readable is not None and not readable.matches(found):
        causes.append(
            invalid("spec.template.metadata.labels", found, "`selector` does not match template `labels`")
        )
    metadata.labels(found, "spec.template.metadata.labels", causes)
    pod.validate_spec(template.get("spec") or {}, "spec.template.spec", causes)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        causes.append(unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        causes.append(
            forbidden("spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")
        )


def _selector(selector: Any, causes: list[Cause]) -> Any:
    """The selector when it can be read; None when a cause says why not."""
    if not isinstance(selector, dict):
        causes.append(required("spec.selector"))
        return None
    before = len(causes)
    labels = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    metadata.labels(labels, "spec.selector.matchLabels", causes)
    for index, expression in enumerate(expressions):
        at = f"spec.selector.matchExpressions[{index}]"
        operator, values = expression.get("operator"), expression.get("values") or []
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            causes.append(invalid(f"{at}.operator", operator or "", "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            causes.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            causes.append(
                forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
        for problem in names.label_key(expression.get("key", "")):
            causes.append(invalid(f"{at}.key", expression.get("key", ""), problem))
    if not labels and not expressions:
        causes.append(invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    if len(causes) > before:
        return None
    try:
        return from_dict(selector)
    except SelectorError as failure:
        causes.append(invalid("spec.selector", selector, str(failure)))
        return None


def _strategy(strategy: Object, causes: list[Cause]) -> None:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        causes.append(unsupported("spec.strategy.type", kind or "", ("Recreate", "RollingUpdate")))
    elif kind == "Recreate" and rolling:
        causes.append(
            forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
        )
    elif kind == "RollingUpdate":
        unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
        at = "spec.strategy.rollingUpdate"
        both = [_int_or_percent(f"{at}.maxUnavailable", unavailable, causes),
                _int_or_percent(f"{at}.maxSurge", surge, causes)]  # fmt: skip
        if both == [0, 0]:
            causes.append(invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
        if isinstance(unavailable, str) and (both[0] or 0) > 100:
            causes.append(invalid(f"{at}.maxUnavailable", unavailable, "must not be greater than 100%"))


def _int_or_percent(field: str, value: Any, causes: list[Cause]) -> int | None:
    """Its number, None when it has none."""
    if isinstance(value, int):
        not_negative(field, value, causes)
        return value
    if re.fullmatch(r"[0-9]+%", str(value)):
        return int(str(value)[:-1])
    causes.append(
        invalid(field, value, "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
    )  # fmt: skip
    return None


def validate_selector_update(new: Object, old: Object, causes: list[Cause]) -> None:
    if (new.get("spec") or {}).get("selector") != (old.get("spec") or {}).get("selector"):
        causes.append(invalid("spec.selector", (new.get("spec") or {}).get("selector") or {}, IMMUTABLE))
