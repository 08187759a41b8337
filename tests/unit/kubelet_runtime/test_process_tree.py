"""Who belongs to an exec that is killed."""

from __future__ import annotations

import subprocess
import sys

from kubelet.runtime import process_tree
from tests.support.waiting import eventually


def test_a_family_is_a_session_and_all_that_comes_from_it() -> None:
    processes = {
        1: (0, 1),  # the container's own
        10: (0, 10),  # the exec
        11: (10, 10),
        12: (11, 12),  # left the session, not its parent
        13: (1, 10),  # lost its parent, not the session
        14: (1, 14),  # a daemon that has left both
    }
    assert process_tree.family(10, processes) == {10, 11, 12, 13}


def test_what_an_exec_has_started_ends_with_it() -> None:
    script = "import os, sys\nos.setsid()\nos.system('sleep 4731 & sleep 4731')"
    process = subprocess.Popen([sys.executable, "-c", script])

    def children() -> set[int]:
        found = subprocess.run(["pgrep", "-f", "sleep 4731"], capture_output=True, check=False)
        return {int(pid) for pid in found.stdout.split()}

    eventually(lambda: len(children()) >= 2)
    process_tree.kill(process.pid, lambda: {process.pid, *children()})
    process.wait(10)
    eventually(lambda: children() == set())
