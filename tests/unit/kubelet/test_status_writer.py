"""Statuses that are written, and those that cannot be for now."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.status_writer import StatusWriter
from podium.client.errors import Unreachable
from tests.unit.kubelet.containers import a_kubelet_pod

Object = dict[str, Any]


class Api:
    """Plays the client; `is_away` while the API server is."""

    def __init__(self) -> None:
        self.is_away = False
        self.patches: list[Object] = []

    def patch(self, _kind: str, _name: str, _ns: str, patch: Object, **_: Any) -> Object:
        if self.is_away:
            raise Unreachable("nobody there")
        self.patches.append(patch["status"])
        about = {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "9"}
        return {"metadata": about, "status": {"phase": "Pending"} | patch["status"]}


class NoStatics:
    def has(self, _uid: str) -> bool:
        return False


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def writer(api: Api) -> StatusWriter:
    return StatusWriter(api, NoStatics(), None)  # type: ignore[arg-type]


def a_pod() -> Object:
    pod = a_kubelet_pod()
    pod["metadata"] |= {"uid": "u", "resourceVersion": "5"}
    return pod


def test_only_what_differs_is_written_and_once(api: Api, writer: StatusWriter) -> None:
    pod = a_pod()
    writer.write(pod, {"phase": "Pending", "podIP": "10.0.0.9"})
    writer.write(pod, {"phase": "Pending", "podIP": "10.0.0.9"})
    assert api.patches == [{"podIP": "10.0.0.9"}]


def test_what_cannot_be_written_is_kept_told_and_written_later(
    api: Api, writer: StatusWriter
) -> None:
    pod = a_pod()
    api.is_away = True
    assert writer.write(pod, {"phase": "Running"})["phase"] == "Running"
    assert writer.newest(pod)["phase"] == "Running"
    with pytest.raises(Unreachable):
        writer.raise_failure("u")
    api.is_away = False
    writer.retry(pod)
    writer.raise_failure("u")
    assert api.patches == [{"phase": "Running"}]
    assert writer.newest(pod)["phase"] == "Running"
