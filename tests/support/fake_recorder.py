"""A Recorder that remembers."""

from __future__ import annotations

from typing import Any


class FakeRecorder:
    """`events` is (type, reason, message) in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(
        self, obj: dict[str, Any], type_: str, reason: str, message: str, *, field_path: str = ""
    ) -> None:
        self.events.append((type_, reason, message))

    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.events]

    def messages(self, reason: str) -> list[str]:
        return [message for _, each, message in self.events if each == reason]
