"""Tables and texts, as they come out on the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from podium.api import scheme
from podium.api.yaml_text import to_yaml
from podium.cli import refusal
from podium.cli.descriptions import age, describe
from podium.cli.output import TablePrinter
from podium.cli.progress import Progress
from podium.client import errors

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PODS = scheme.resource("pods")


def a_table(*rows: list[Any]) -> dict[str, Any]:
    names = [("Name", 0), ("Ready", 0), ("IP", 1)]
    return {
        "columnDefinitions": [{"name": n, "priority": p} for n, p in names],
        "rows": [
            {"cells": row, "object": {"metadata": {"namespace": "ns", "labels": {"a": "b"}}}}
            for row in rows
        ],
    }


def shown(capsys: pytest.CaptureFixture[str], table: dict[str, Any], **how: Any) -> list[str]:
    options = {"wide": False, "with_namespace": False, **how}
    TablePrinter(PODS, **options).show(table)
    return capsys.readouterr().out.splitlines()


def test_columns_are_three_blanks_apart(capsys: pytest.CaptureFixture[str]) -> None:
    table = a_table(["web", "1/1", "10.0.0.1"], ["database", "0/1", None])
    assert shown(capsys, table) == ["NAME       READY", "web        1/1", "database   0/1"]


def test_wide_shows_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, a_table(["web", "1/1", None]), wide=True)
    assert lines == ["NAME   READY   IP", "web    1/1     <none>"]


def test_namespace_kind_and_labels_are_added_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    how = {"with_namespace": True, "with_kind": True, "labels": True, "headers": False}
    assert shown(capsys, a_table(["web", "1/1", None]), **how) == ["ns    pod/web   1/1   a=b"]


def test_a_watch_prints_its_head_once_and_keeps_its_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printer = TablePrinter(PODS, wide=False, with_namespace=False)
    printer.show(a_table(["database", "0/1", None]))
    printer.show({"rows": a_table(["web", "1/1", None])["rows"]})
    assert capsys.readouterr().out.splitlines() == [
        "NAME       READY",
        "database   0/1",
        "web        1/1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (250, "4m10s"), (600, "10m"), (3 * 3600 + 300, "3h5m"),
     (9 * 3600, "9h"), (50 * 3600, "2d2h"), (80 * 86400, "80d")],
)  # fmt: skip
def test_ages_are_shortened_as_kubernetes_does(seconds: int, text: str) -> None:
    then = NOW - timedelta(seconds=seconds)
    assert age(then.strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == text


def test_yaml_is_read_back_as_it_was() -> None:
    obj = {"a": "yes", "b": "1", "c": "x\ny\n", "d": None, "e": [], "f": "2026-01-01", "g": 1.5}
    text = to_yaml(obj)
    assert yaml.safe_load(text) == obj
    assert "c: |\n" in text
    assert 'b: "1"\n' in text


def test_several_causes_are_told_one_a_line() -> None:
    causes = [{"field": "spec.a", "message": "bad"}, {"field": "spec.b", "message": "worse"}]
    details = {"kind": "Pod", "name": "web", "causes": causes}
    error = errors.Invalid(422, "Invalid", "…", details=details)
    assert refusal.told(error).splitlines() == [
        'The Pod "web" is invalid:',
        "* spec.a: bad",
        "* spec.b: worse",
    ]
    del causes[1]
    assert refusal.told(error) == 'The Pod "web" is invalid: spec.a: bad'


def test_not_found_is_told_as_kubectl_does() -> None:
    error = errors.NotFound(404, "NotFound", 'pods "x" not found')
    assert refusal.told(error) == 'Error from server (NotFound): pods "x" not found'


def test_a_pod_is_described_with_its_containers_and_events() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "creationTimestamp": NOW.isoformat()},
        "spec": {"containers": [{"name": "main", "image": "host", "command": ["sh"]}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "main",
                    "restartCount": 2,
                    "state": {"running": {"startedAt": NOW.isoformat()}},
                    "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                }
            ],
        },
    }
    event = {
        "type": "Normal",
        "reason": "Started",
        "message": "Started container main",
        "metadata": {"creationTimestamp": NOW.isoformat()},
        "source": {"component": "kubelet"},
    }
    text = describe(PODS, pod, [], [event])
    for part in ("Name:             web", "OOMKilled", "137", "Restart Count:    2", "Started con"):
        assert part in text


def test_a_secret_keeps_its_secret_when_described() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "creationTimestamp": NOW.isoformat()},
        "data": {"key": "czNjcmV0"},
    }
    text = describe(scheme.resource("secrets"), secret, [], None)
    assert "czNjcmV0" not in text
    assert "<6 bytes>" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_progress_is_whole_lines_only() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.waiting_for("the kubelet")
    progress.line("apiserver 300 ms")
    progress.done()
    assert stream.getvalue() == "apiserver 300 ms\n"


def test_on_a_terminal_the_last_line_moves_and_leaves_no_trace() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.waiting_for("the kubelet")
    progress.line("apiserver 300 ms")
    progress.done()
    text = stream.getvalue()
    assert text.count("the kubelet … 0.0 s") == 2
    assert text.endswith("the kubelet … 0.0 s\r\x1b[K")
    assert "\r\x1b[Kapiserver 300 ms\n" in text
