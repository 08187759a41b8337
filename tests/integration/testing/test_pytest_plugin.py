"""The pytest plugin, used as its users do: by a pytest of its own, with simulated nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from podium.testing.start import CannotStart, running_cluster
from tests.support.interruptible import INTERRUPTIBLE
from tests.support.waiting import eventually

HOUSE = Path(__file__).resolve().parents[3]
ENDS_S = 60.0

TESTS = '''
    import json, os, time
    from pathlib import Path

    WEB = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: 3
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers: [{name: main, image: host}]
    """

    def note(cluster):
        where = Path(os.environ["NOTES"], os.environ.get("PYTEST_XDIST_WORKER", "main"))
        where.write_text(json.dumps([str(cluster.data_dir), cluster.server, cluster.kubectl(
            "get", "configmaps", "-o", "name").stdout.split()]))
'''


@pytest.fixture
def inner(tmp_path: Path) -> Inner:
    return Inner(tmp_path)


class Inner:
    """A pytest session in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self, tests: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        text = textwrap.dedent(TESTS) + textwrap.dedent(tests)
        (self.directory / "test_inner.py").write_text(text)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        env = {**os.environ, "PODIUM_FAKE_NODES": "1", "NOTES": str(self.directory), "PATH": path,
               "PYTHONPATH": str(HOUSE), **environment}  # fmt: skip
        argv = [*INTERRUPTIBLE, sys.executable, "-m", "pytest", "-q",
                "-p", "no:cacheprovider", "test_inner.py"]  # fmt: skip
        return subprocess.Popen([*argv, *options], cwd=self.directory, env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, tests: str, *options: str, **environment: str) -> tuple[int, str]:
        """(exit code, output)."""
        process = self.start(tests, *options, **environment)
        output, _ = process.communicate(timeout=110)
        return process.returncode, output

    def notes(self) -> dict[str, list]:
        """What `note` wrote, by xdist's worker."""
        found = [p for p in self.directory.iterdir() if p.name == "main" or p.name[:2] == "gw"]
        return {path.name: json.loads(path.read_text()) for path in found if path.stat().st_size}


def test_a_test_gets_a_cluster_and_is_told_what_happened_in_it(inner: Inner) -> None:
    code, output = inner.run("""
        def test_good(podium_cluster):
            podium_cluster.apply(WEB)
            assert podium_cluster.wait_for("deployment/web", "Available")["status"]["replicas"] == 3
            note(podium_cluster)
            for words in ("logs", "exec -- true", "attach", "port-forward 0:80"):
                verb, *more = words.split()
                done = podium_cluster.kubectl(verb, "deployment/web", *more, check=False)
                assert done.returncode != 0
                assert "node fake-1 is simulated: nothing runs there" in done.stderr

        def test_bad(podium_namespace):
            assert podium_namespace.get("deployment/web") is None
            podium_namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lost"},
                "spec": {"nodeSelector": {"no": "where"},
                         "containers": [{"name": "main", "image": "host"}]}})
            podium_namespace.wait_for("pod/lost", timeout_s=1)
    """)
    assert (code, "1 failed, 1 passed" in output) == (1, True), output
    assert "NotYet: pod/lost: 'ready' not met after 1 s; its status is" in output
    assert "podium trace" in output
    assert "create pods test-1/lost" in output
    assert "podium changes" in output
    assert "ADDED    Pod/lost" in output
    assert "Warning FailedScheduling pod/lost" in output
    ((data_dir, _, _),) = inner.notes().values()
    assert not Path(data_dir).exists()


def test_two_sessions_at_once_do_not_meet(inner: Inner) -> None:
    code, output = inner.run(
        """
        def apply_one(cluster, name):
            cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
            note(cluster)

        def test_one(podium_cluster):
            apply_one(podium_cluster, "one")

        def test_two(podium_cluster):
            apply_one(podium_cluster, "two")
        """,
        "-n", "2", "--dist", "each",
    )  # fmt: skip
    assert code == 0, output
    first, second = inner.notes().values()
    assert first[:2] != second[:2]
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_goes_also_when_pytest_is_interrupted_or_killed(
    inner: Inner, number: signal.Signals
) -> None:
    process = inner.start("""
        def test_forever(podium_cluster):
            note(podium_cluster)
            time.sleep(600)
    """)
    eventually(lambda: "main" in inner.notes(), 100)
    data_dir = inner.notes()["main"][0]
    assert _processes_of(data_dir)
    process.send_signal(number)
    process.communicate(timeout=60)
    eventually(lambda: not Path(data_dir).exists() and not _processes_of(data_dir), ENDS_S)


def _processes_of(data_dir: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if data_dir in line:
            found.append(line)
    return found


def test_without_root_and_simulated_nodes_it_is_said_what_to_do(inner: Inner) -> None:
    tests = """
        def test_any(podium_cluster):
            pass
    """
    code, output = inner.run(tests, PODIUM_FAKE_NODES="many")
    assert code == 1
    assert "podium_cluster: PODIUM_FAKE_NODES=many: must be a number up to 200" in output


@pytest.mark.parametrize("program", ["/nonexistent", "/bin/false"])
def test_nothing_is_left_where_the_guardian_cannot_be_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.executable", program)
    monkeypatch.setenv("PODIUM_FAKE_NODES", "1")
    with pytest.raises(CannotStart), running_cluster():
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_plugin_costs_other_peoples_pytest_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import podium.testing.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    env = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout == "['podium', 'podium.testing', 'podium.testing.pytest_plugin']\n"


def test_somebody_without_any_rights_can_use_it(inner: Inner) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
              "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]  # fmt: skip
    # By a shell: the first program is found with the rights of before.
    python = ["/bin/sh", "-c", f"{sys.executable} -c 'import podium.testing.guardian'"]
    env = {**os.environ, "PYTHONPATH": str(HOUSE), "HOME": "/tmp"}
    if os.geteuid() != 0 or subprocess.run([*nobody, *python], env=env, check=False,
                                           capture_output=True).returncode != 0:  # fmt: skip
        pytest.skip("nobody may not run this Python")
    program = """
        import os
        from podium.testing.start import running_cluster
        with running_cluster() as cluster:
            assert os.geteuid() == 65534
            cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                           "spec": {"containers": [{"name": "main", "image": "host"}]}})
            print(cluster.wait_for("pod/p")["status"]["phase"], cluster.data_dir)
    """
    done = subprocess.run(
        [*nobody, sys.executable, "-c", textwrap.dedent(program)], check=False, cwd="/",
        env={**env, "PODIUM_FAKE_NODES": "2"}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    phase, data_dir = done.stdout.split() or ("", "")
    assert (phase, done.stderr) == ("Running", "")
    assert not Path(data_dir).exists()


def test_the_operator_in_the_documentation_passes_its_test() -> None:
    env = {**os.environ, "PODIUM_FAKE_NODES": "1", "PYTHONPATH": str(HOUSE)}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "docs/testing"]
    done = subprocess.run(argv, cwd=HOUSE, env=env, capture_output=True, text=True, timeout=110,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
