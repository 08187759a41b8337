"""Room podium/testing: what a test does with its cluster."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.api import meta
from podium.api.yaml_text import to_yaml
from podium.cli import cluster_config, waiting
from podium.cli.apply import apply_one, placed
from podium.cli.connection import Connection
from podium.cli.manifest_files import parse_manifests, read_manifests
from podium.cli.supervisor import component_environment
from podium.cli.targets import Target, parse_one
from podium.client.errors import NotFound
from podium.client.http import Client

Object = dict[str, Any]
Condition = str | Callable[[Object], Any]
Manifest = str | Path | Object | list[Object]

_QUERY = {"fieldManager": "podium-apply", "fieldValidation": "Strict"}


class NotYet(AssertionError):
    """What was waited for did not come; the message shows the object as it was last."""


class PodiumCluster:
    """A running cluster, seen from one namespace ("default").

    Objects are named as for kubectl: "deployment/web", "po/web-1", "configmap/c". They come as
    dicts in the API's form.
    """

    def __init__(self, data_dir: Path, namespace: str = "default") -> None:
        config = cluster_config.read(data_dir)
        assert config is not None, f"there is no cluster in {data_dir}"
        self.data_dir = data_dir
        self.namespace = namespace
        self.kubeconfig = data_dir / "admin.kubeconfig"
        self.server = cluster_config.server_url(config)
        self.nodes = [node.name for node in config.nodes]
        self.is_simulated = config.is_simulated
        self.applied: list[Target] = []  # since `mark`, each once
        self.marked_at = 0  # the cluster's revision then
        self._api = Connection(self.kubeconfig, namespace)

    # ---- doing ----

    def apply(self, manifest: Manifest) -> list[Object]:
        """Create or change objects; gives them back. `manifest` is YAML or JSON text, a Path (or
        the name) of a file or directory, a dict, or a list of dicts."""
        done = []
        for one in _manifests(manifest):
            here = placed(self._api, one)
            done.append(apply_one(self._api, here, dict(_QUERY)).object)
            target = Target(here.resource, here.name)
            if target not in self.applied:
                self.applied.append(target)
        return done

    def delete(self, name: str, *, timeout_s: float = 30.0) -> None:
        """Delete an object and wait until it is gone; nothing happens if there is none."""
        target, namespace = self._target(name)
        try:
            found = self.client.get(target.resource, target.name or "", namespace)
            self.client.delete(target.resource, target.name or "", namespace)
        except NotFound:
            return
        waiting.wait_gone(self._api, target.resource, namespace, target.name or "",
                          uid=found["metadata"]["uid"], timeout_s=timeout_s)  # fmt: skip

    # ---- seeing ----

    def get(self, name: str) -> Object | None:
        """An object; None if there is none."""
        target, namespace = self._target(name)
        try:
            return self.client.get(target.resource, target.name or "", namespace)
        except NotFound:
            return None

    def wait_for(
        self, name: str, condition: Condition = "ready", *, timeout_s: float = 30.0
    ) -> Object:
        """Wait for an object and give it back; raises NotYet.

        `condition`: "ready" (a Pod's condition, a rollout that is done, else that it is there),
        "gone" (gives {}), a type of its status conditions ("Available"), or a function of the
        object whose answer is true.
        """
        target, namespace = self._target(name)
        __tracebackhide__ = True
        is_met = _test_of(target, condition)
        last: Object | None = None
        try:
            for seen in waiting.follow(
                self._api, target.resource, namespace, target.name or "", timeout_s
            ):
                last = seen if seen is not None else last
                if seen is None and condition == "gone":
                    return {}
                if seen is not None and condition != "gone" and is_met(seen):
                    return seen
        except waiting.TimedOut:
            raise NotYet(_not_yet(target, condition, timeout_s, last)) from None
        raise AssertionError("follow() ends by raising")

    def events(self) -> list[str]:
        """What the namespace's Events say, oldest first: "Warning BackOff pod/web: …"."""
        found = self.client.list("events", self.namespace)["items"]
        return [_told(event) for event in sorted(found, key=_time_of)]

    # ---- other ways in ----

    @functools.cached_property
    def client(self) -> Client:
        """Podium's own client, as the admin."""
        return self._api.client

    def kubectl(
        self, *args: str, stdin: str = "", check: bool = True, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run the kubectl of this machine; with `check` a failure raises AssertionError."""
        return self._run(["kubectl", "-n", self.namespace, *args], stdin, check, timeout_s)

    def podium(
        self, *args: str, stdin: str = "", check: bool = True, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `podium` for this cluster."""
        argv = [sys.executable, "-P", "-m", "podium.cli.main", "-n", self.namespace, *args]
        return self._run(argv, stdin, check, timeout_s)

    def environment(self) -> dict[str, str]:
        """For a process that is to work with this cluster: an operator under test."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig),
                "PODIUM_DATA_DIR": str(self.data_dir)}  # fmt: skip

    def log(self, component: str) -> str:
        """What "apiserver", "controllers" or "kubelet" has logged."""
        path = self.data_dir / "log" / f"{component}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # ---- namespaces ----

    @contextmanager
    def namespaced(self, name: str) -> Iterator[PodiumCluster]:
        """The same cluster seen from a new namespace, which goes at the end."""
        self.client.create("namespaces", {"metadata": {"name": name}})
        inside = copy.copy(self)
        inside.namespace, inside.applied = name, []
        inside._api = Connection(self.kubeconfig, name)
        inside.__dict__.pop("client", None)
        try:
            yield inside
        finally:
            inside.close()
            self.client.delete("namespaces", name)

    # ---- for the plugin ----

    def mark(self) -> None:
        """A test begins: what is applied and what happens from here on is its."""
        self.applied.clear()
        listed = self.client.list("nodes", limit=1)
        self.marked_at = int(listed["metadata"]["resourceVersion"])

    def close(self) -> None:
        """Of this object; the cluster goes on."""
        if "client" in self.__dict__:
            self.client.close()

    def _target(self, name: str) -> tuple[Target, str | None]:
        target = parse_one((name,))
        return target, self._api.namespace_of(target.resource)

    def _run(
        self, argv: list[str], stdin: str, check: bool, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        environment = {**component_environment(), **self.environment()}
        done = subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True,
                              timeout=timeout_s, check=False)  # fmt: skip
        if check and done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{said}")
        return done


def _manifests(manifest: Manifest) -> Any:
    if isinstance(manifest, Path):
        return read_manifests((str(manifest),))
    if isinstance(manifest, str) and "\n" not in manifest and os.path.exists(manifest):
        return read_manifests((manifest,))
    if isinstance(manifest, str):
        return parse_manifests(manifest, "the manifest")
    documents = manifest if isinstance(manifest, list) else [manifest]
    return parse_manifests("---\n".join(to_yaml(one) for one in documents), "the manifest")


def _test_of(target: Target, condition: Condition) -> Callable[[Object], Any]:
    if callable(condition):
        return condition
    if condition == "ready":
        return lambda obj: _is_ready(target, obj)
    return lambda obj: (meta.condition(obj, condition) or {}).get("status") == "True"


def _is_ready(target: Target, obj: Object) -> bool:
    progressed = waiting.readiness(target.resource, obj)
    if progressed.failed:
        raise NotYet(f"{target} will not be ready: {progressed.message}")
    return progressed.done


def _not_yet(target: Target, condition: Condition, timeout_s: float, last: Object | None) -> str:
    what = getattr(condition, "__name__", "the condition") if callable(condition) else condition
    head = f"{target}: {what!r} not met after {timeout_s:g} s"
    if last is None:
        return f"{head}; there is none"
    return f"{head}; its status is\n{to_yaml(last.get('status') or {})}"


def _time_of(event: Object) -> str:
    return str(event.get("eventTime") or event.get("lastTimestamp") or event.get("firstTimestamp"))


def _told(event: Object) -> str:
    about = event.get("involvedObject") or {}
    times = f" ({event['count']} times)" if event.get("count", 1) > 1 else ""
    return (
        f"{event.get('type')} {event.get('reason')} "
        f"{about.get('kind', '').lower()}/{about.get('name')}: {event.get('message')}{times}"
    )
