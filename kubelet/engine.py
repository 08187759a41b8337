"""Which container engine a node has: Podium's own, or containerd.

Room kubelet; called by agent.py and teardown.py. `podium up --runtime` says which, cluster.json
keeps it; all that comes after speaks to `Runtime` alone.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from kubelet.runtime.client import PodiumRuntime
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.leftovers import remove_everything
from kubelet.runtime.protocol import Runtime

Object = dict[str, Any]
log = logging.getLogger("engine")


def connect(node: Object, node_dir: str) -> Runtime:
    """The engine of a node, an entry of cluster.json; raises RuntimeFailure if it does not
    answer."""
    if _is_containerd(node):
        from kubelet.containerd.runtime import ContainerdRuntime

        return ContainerdRuntime(_root(node_dir), node["cgroupRoot"])
    return PodiumRuntime(_root(node_dir), node["cgroupRoot"])


@contextlib.contextmanager
def connected(node: Object, node_dir: str) -> Iterator[Runtime]:
    """The engine once more, after every component has ended. containerd is started if need be, and
    in the end its sandboxes are removed."""
    with contextlib.ExitStack() as stack:
        if _is_containerd(node):
            from kubelet.containerd.daemon import running

            stack.enter_context(running(_root(node_dir), _images(node_dir), node["cgroupRoot"]))
        runtime = connect(node, node_dir)
        stack.callback(runtime.close)
        if _is_containerd(node):
            stack.callback(_remove_sandboxes, runtime)
        yield runtime


def erase(node: Object, node_dir: str) -> None:
    """Kill all that is left of an engine, itself included, and remove what it made. Safe to
    repeat; containerd's images stay."""
    if _is_containerd(node):
        from kubelet.containerd import daemon

        daemon.erase(_root(node_dir), node["cgroupRoot"])
    else:
        remove_everything(_root(node_dir), node["cgroupRoot"])


def _remove_sandboxes(runtime: Runtime) -> None:
    """What containerd has made outside of its own directory goes with its sandboxes."""
    for sandbox in runtime.list_pod_sandboxes():
        try:
            runtime.remove_pod_sandbox(sandbox.id)
        except RuntimeFailure as failure:
            log.warning("%s: %s", sandbox.id, failure)  # `erase` kills what is left


def _is_containerd(node: Object) -> bool:
    return bool(node.get("runtime") == "containerd")


def _root(node_dir: str) -> str:
    return f"{node_dir}/runtime"


def _images(node_dir: str) -> str:
    return f"{node_dir}/containerd"
