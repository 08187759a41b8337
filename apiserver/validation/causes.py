"""The wordings of Kubernetes' field errors. Source: apimachinery `util/validation/field/errors.go`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from podium.api.status import Cause


def _shown(value: Any) -> str:
    """A value as Kubernetes prints it in a message."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, f"Invalid value: {_shown(value)}: {detail}", "FieldValueInvalid")


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, f"Required value: {detail}" if detail else "Required value", "FieldValueRequired")


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, f"Duplicate value: {_shown(value)}", "FieldValueDuplicate")


def forbidden(field: str, detail: str) -> Cause:
    return Cause(field, f"Forbidden: {detail}", "FieldValueForbidden")


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(json.dumps(s) for s in sorted(supported))
    return Cause(field, f"Unsupported value: {_shown(value)}: supported values: {listed}", "FieldValueNotSupported")


def not_found(field: str, value: Any) -> Cause:
    return Cause(field, f"Not found: {_shown(value)}", "FieldValueNotFound")


def too_long(field: str, limit: int) -> Cause:
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"


def not_negative(field: str, value: Any, causes: list[Cause]) -> None:
    if isinstance(value, int) and value < 0:
        causes.append(invalid(field, value, NOT_NEGATIVE))


def each(field: str, value: str, problems: Iterable[str], causes: list[Cause]) -> None:
    """One cause for each problem of a name."""
    causes.extend(invalid(field, value, problem) for problem in problems)
