"""The operator against a real API: `pytest test_canary.py`, as root or with PODIUM_FAKE_NODES=1."""

import subprocess
import sys
from pathlib import Path

import pytest

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {canary: "yes"}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: host
        command: [sleep, infinity]
"""


@pytest.fixture
def operator(podium_namespace):
    """The operator, in a process of its own, for this test's namespace."""
    script = Path(__file__).with_name("canary.py")
    namespace = podium_namespace.namespace
    process = subprocess.Popen(
        [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(script)],
        env=podium_namespace.environment(),
    )
    yield process
    process.terminate()
    process.wait(30)


def test_a_deployment_gets_a_canary_that_goes_with_it(podium_namespace, operator):
    podium_namespace.apply(WEB)
    canary = podium_namespace.wait_for("deployment/web-canary", "Available", timeout_s=60)
    assert canary["spec"]["replicas"] == 1
    podium_namespace.delete("deployment/web")
    podium_namespace.wait_for("deployment/web-canary", "gone")


def test_what_is_not_labelled_gets_none(podium_namespace, operator):
    podium_namespace.apply(WEB.replace('labels: {canary: "yes"}', "labels: {}"))
    podium_namespace.wait_for("deployment/web")
    assert podium_namespace.get("deployment/web-canary") is None
