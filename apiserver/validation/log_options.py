"""What GET …/log may be asked for. Room: the API server; called by kubelet_proxy.py.

Source: kubernetes `pkg/apis/core/validation`, ValidatePodLogOptions, v1.32.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.errors import ApiError
from apiserver.validation import causes
from podium.api import status
from podium.api.scheme import Resource

_KIND = Resource("", "v1", "PodLogOptions", "pods", "pod")
_POSITIVE = "must be greater than 0"
_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}


def check_log_options(query: Mapping[str, str], pod: str) -> None:
    """ApiError 400 for what is no number, 422 for one that makes no sense."""
    found = []
    for option, least in _LEAST.items():
        if option in query and (value := _number(option, query[option])) < least:
            words = _POSITIVE if least else causes.NOT_NEGATIVE
            found.append(causes.invalid(option, value, words))
    if "sinceSeconds" in query and "sinceTime" in query:
        words = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        found.append(causes.forbidden("", words))
    if found:
        raise ApiError(status.invalid(_KIND, pod, found))


def _number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ApiError(status.bad_request(f"{option}: {text!r} is not a number")) from None
