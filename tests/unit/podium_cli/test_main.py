"""The command as a process: help, errors, exit codes, and what it must not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.cli.main import SECTIONS, VERBS


def podium(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "podium.cli.main", *args],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_verb() -> None:
    text = podium("--help").stdout
    assert all(f"  {verb} " in text for verb in VERBS)
    assert {verb for verbs in SECTIONS.values() for verb in verbs} == set(VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    done = podium(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: podium {verb}" in done.stdout


def test_start_up_imports_nothing_heavy() -> None:
    code = "import sys, podium.cli.main; print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"ssl", "yaml", "orjson", "http.client", "asyncio", "podium.client.http"} & set(
        names
    )


def test_an_unknown_verb_is_told_with_what_may_be_meant() -> None:
    done = podium("aply")
    assert done.returncode == 2
    assert 'unknown command "aply"; did you mean "apply"?' in done.stderr


def test_without_a_cluster_the_way_to_one_is_told(tmp_path: Path) -> None:
    for verb in (["get", "pods"], ["kubeconfig"], ["ui"]):
        done = podium(*verb, PODIUM_DATA_DIR=str(tmp_path))
        assert done.returncode == 1
        assert "podium up" in done.stderr
        assert "Traceback" not in done.stderr


def test_status_of_nothing_says_so(tmp_path: Path) -> None:
    done = podium("--data-dir", str(tmp_path), "status", "-o", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "absent"
    assert json.loads(done.stdout)["components"] == []


def test_down_where_nothing_is_does_nothing(tmp_path: Path) -> None:
    done = podium("down", "--purge", "--data-dir", str(tmp_path))
    assert done.returncode == 0
    assert "there is no cluster" in done.stdout


def test_a_server_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    from podium.cli.pki import create_pki

    create_pki(tmp_path, ["n"], port=1)
    done = podium("get", "pods", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: https://127.0.0.1:1:")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["up", "down"])
def test_without_root_it_says_what_is_missing(tmp_path: Path, verb: str) -> None:
    # Become nobody only after the imports: the interpreter may lie where nobody may read.
    code = (
        "import os, sys\nfrom podium.cli import main, up, down\n"
        "if os.geteuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "main.main()"
    )
    argv = [sys.executable, "-c", code, verb, "--data-dir", str(tmp_path / "d")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "podium must run as root" in done.stderr
    assert not (tmp_path / "d").exists()
