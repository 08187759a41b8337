"""The pytest plugin's cluster makes real containers where there is root."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[2]

TEST = """
    POD = '''
    apiVersion: v1
    kind: Pod
    metadata: {name: web}
    spec:
      containers:
      - {name: main, image: host, command: [sleep, infinity]}
    '''

    def test_real(podium_namespace):
        podium_namespace.apply(POD)
        podium_namespace.wait_for("pod/web")
        done = podium_namespace.kubectl("exec", "web", "--", "cat", "/proc/1/cmdline")
        assert done.stdout == "sleep\\0infinity\\0"
        assert not podium_namespace.is_simulated
"""


def test_a_test_with_the_fixture_runs_a_real_container(tmp_path: Path) -> None:
    (tmp_path / "test_real.py").write_text(textwrap.dedent(TEST))
    env = {k: v for k, v in os.environ.items() if k not in ("PODIUM_FAKE_NODES", "KUBECONFIG")}
    path = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**env, "PYTHONPATH": str(HOUSE), "PATH": path}, cwd=tmp_path, capture_output=True,
        text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
