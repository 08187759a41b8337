"""Static Pods: manifests in a directory of the node, run by this kubelet alone, API server or not.

Room kubelet; made by agent.py. One thread waits for changes in the directory and reads it anew; a
file that is no Pod is told in the log and harms no other. A Pod's uid is a hash of what it says, so
a changed file is another Pod: the old one is ended, with its grace period, before the new one
starts. Source: kubelet `pkg/kubelet/config` (file.go, common.go).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from kubelet import inotify
from podium.api import meta, names, scheme

log = logging.getLogger("static-pods")
Object = dict[str, Any]

HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
DEFAULT_GRACE_S = 30
MAX_BYTES = 1 << 20
_CHANGES = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
)
_UID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]{0,62}")
_KINDS = ("initContainers", "containers")


class BadManifest(Exception):
    """What is wrong with it."""


class StaticPods:
    """`changed(uid)` is called when one has come, is to end, or may start now. Thread-safe."""

    def __init__(
        self, path: Path, node_name: str, changed: Callable[[str], None], *, rescan_s: float = 20.0
    ) -> None:
        self._path, self._node_name, self._changed = path, node_name, changed
        self._rescan_s = rescan_s
        self._lock = threading.Lock()
        self._pods: dict[str, Object] = {}  # by uid
        self._ending: dict[str, Object] = {}  # removed, and not cleaned away yet
        self._complaints: dict[str, str] = {}  # by path, so that each is told once
        self._stop_reader, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._follow, name="static-pods", daemon=True)

    # ---- asking ----

    def has(self, uid: str) -> bool:
        """Whether this is one of ours: there, or ending."""
        return uid in self._pods or uid in self._ending

    def find(self, uid: str) -> Object | None:
        """The Pod to run or, with a deletionTimestamp, to end; None for one that has to wait until
        another of its name has ended."""
        with self._lock:
            if uid in self._ending:
                return self._ending[uid]
            pod = self._pods.get(uid)
            if pod is None or any(_key(other) == _key(pod) for other in self._ending.values()):
                return None
            return pod

    def by_name(self, namespace: str, name: str) -> Object | None:
        with self._lock:
            found = [*self._ending.values(), *self._pods.values()]
        return next((pod for pod in found if _key(pod) == (namespace, name)), None)

    def list(self) -> list[Object]:
        with self._lock:
            return [*self._ending.values(), *self._pods.values()]

    def ended(self, uid: str) -> None:
        """A Pod that was to end is gone; whoever waited for that may start."""
        with self._lock:
            gone = self._ending.pop(uid, None)
            waiting = [u for u, pod in self._pods.items() if gone and _key(pod) == _key(gone)]
        for each in {uid, *waiting}:
            self._changed(each)

    # ---- following ----

    def start(self) -> None:
        """Read what there is, then follow."""
        self.scan()
        self._thread.start()

    def close(self) -> None:
        os.close(self._stop)
        if self._thread.is_alive():
            self._thread.join()
        os.close(self._stop_reader)

    def _follow(self) -> None:
        """Until `close`. A directory that is not there (yet) is looked for now and then."""
        while True:
            fd = self._watch()
            fds = [self._stop_reader] + ([fd] if fd >= 0 else [])
            try:
                if fd >= 0:
                    self.scan()  # what has changed before the kernel was asked to tell
                while True:
                    ready = select.select(fds, [], [], None if fd >= 0 else self._rescan_s)[0]
                    if self._stop_reader in ready:
                        return
                    if fd < 0 or not _take(fd):
                        break
                    self.scan()
            finally:
                if fd >= 0:
                    os.close(fd)

    def _watch(self) -> int:
        """-1 if there is nothing to watch."""
        directory = self._path if self._path.is_dir() else self._path.parent
        try:
            return inotify.watch(directory, _CHANGES)
        except OSError as failure:
            words = f"is not watched: {failure.strerror}"
            self._complain(str(directory), words, dict(self._complaints))
            return -1

    def scan(self) -> None:
        """Compare the files with what is known of them."""
        found: dict[str, Object] = {}
        complaints, self._complaints = self._complaints, {}
        for path in self._files():
            try:
                pod = read_manifest(path, self._node_name)
            except BadManifest as failure:
                self._complain(str(path), f"is no static Pod: {failure}", complaints)
                continue
            if any(_key(pod) == _key(other) for other in found.values()):
                name = "/".join(_key(pod))
                words = f"is not run: another file has a Pod of the name {name} already"
                self._complain(str(path), words, complaints)
                continue
            found[pod["metadata"]["uid"]] = pod
        self._take_over(found)

    def _files(self) -> Iterator[Path]:
        """In the order of their names; hidden files and directories are none of ours."""
        if not self._path.is_dir():
            return iter([self._path] if self._path.is_file() else [])
        entries = sorted(self._path.iterdir())
        return (p for p in entries if p.is_file() and not p.name.startswith("."))

    def _take_over(self, found: dict[str, Object]) -> None:
        with self._lock:
            gone = [uid for uid in self._pods if uid not in found]
            for uid in gone:
                self._ending[uid] = _to_be_ended(self._pods.pop(uid))
            new = [uid for uid in found if uid not in self._pods]
            for uid in new:
                self._pods[uid] = found[uid]
        for uid in [*gone, *new]:
            self._changed(uid)

    def _complain(self, path: str, words: str, before: Mapping[str, str]) -> None:
        """But not again and again."""
        self._complaints[path] = words
        if before.get(path) != words:
            log.error("%s %s", path, words)


def _take(fd: int) -> bool:
    """Read what has happened; False if the directory itself is gone."""
    ignored = 0x8000  # IN_IGNORED
    try:
        data = os.read(fd, inotify.EVENTS_BYTES)
    except BlockingIOError:
        return True
    at = 0
    while at < len(data):
        if int.from_bytes(data[at + 4 : at + 8], "little") & ignored:
            return False
        at += 16 + int.from_bytes(data[at + 12 : at + 16], "little")
    return True


def _key(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _to_be_ended(pod: Object) -> Object:
    """As if somebody had deleted it now."""
    grace_s = max(int(pod["spec"].get("terminationGracePeriodSeconds") or 0), 0)
    at = meta.now(datetime.now(UTC) + timedelta(seconds=grace_s))
    marks = {"deletionTimestamp": at, "deletionGracePeriodSeconds": grace_s}
    return {**pod, "metadata": {**pod["metadata"], **marks}}


# ---- from a file to a Pod -----------------------------------------------------------------------


def read_manifest(path: Path, node_name: str) -> Object:
    """Raises BadManifest."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as failure:
        raise BadManifest(f"cannot be read: {failure.strerror}") from None
    if len(text) > MAX_BYTES:
        raise BadManifest(f"it is larger than {MAX_BYTES} bytes")
    return static_pod(_parse(text), str(path), node_name)


def _parse(text: bytes) -> Object:
    import yaml

    try:
        is_json = text.lstrip().startswith(b"{")  # which may hold tabs, as YAML may not
        found = json.loads(text) if is_json else yaml.load(text, _loader())
    except (yaml.YAMLError, ValueError) as failure:
        raise BadManifest(" ".join(str(failure).split())) from None
    if not isinstance(found, dict):
        raise BadManifest("it does not hold one object")
    return found


@cache
def _loader() -> Any:
    """For which a date is a text, as it is in JSON."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar = {
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def static_pod(found: Object, path: str, node_name: str) -> Object:
    """The Pod as it is run here. Raises BadManifest."""
    from podium.api.defaults import apply_defaults
    from podium.api.strict import find_problems

    if (found.get("apiVersion"), found.get("kind")) != ("v1", "Pod"):
        said = f"{found.get('apiVersion')}, {found.get('kind')}"
        raise BadManifest(f"it holds {said} and not v1, Pod")
    if problems := [p for p in find_problems(found, "Pod") if p.kind != "unknown"]:
        raise BadManifest("; ".join(problem.message for problem in problems))
    found.pop("status", None)
    about = found.setdefault("metadata", {})
    about["name"] = f"{about.get('name') or ''}-{node_name.lower()}"
    about.setdefault("namespace", "default")
    _check(found)
    apply_defaults(found, scheme.resource("pods"))
    del found["status"]
    spec = found["spec"]
    about["uid"] = about.get("uid") or _hash(found, path, node_name)
    annotations = about.setdefault("annotations", {})
    annotations |= {HASH: about["uid"], SOURCE: "file", SEEN: meta.now_micro()}
    spec["nodeName"] = node_name
    spec.setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    return found


def _hash(pod: Object, path: str, node_name: str) -> str:
    said = json.dumps(pod, sort_keys=True, default=str)
    text = f"{said}host:{node_name}file:{path}".encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _check(pod: Object) -> None:
    """What the kernel, the disk and other Pods must be able to rely on; the API server says the
    rest when it is shown the mirror Pod."""
    about, spec = pod["metadata"], pod.get("spec") or {}
    problems = [f"metadata.name: {p}" for p in names.dns_subdomain(about["name"])]
    problems += [f"metadata.namespace: {p}" for p in names.dns_label(about["namespace"])]
    if about.get("uid") and not _UID.fullmatch(about["uid"]):
        problems.append("metadata.uid: must consist of letters, digits and '-'")
    if not spec.get("containers"):
        problems.append("spec.containers: Required value")
    seen: set[str] = set()
    for kind in _KINDS:
        for index, container in enumerate(spec.get(kind) or ()):
            at, name = f"spec.{kind}[{index}]", container.get("name") or ""
            problems += [f"{at}.name: {p}" for p in names.dns_label(name)]
            if name in seen:
                problems.append(f'{at}.name: Duplicate value: "{name}"')
            seen.add(name)
            if not container.get("image"):
                problems.append(f"{at}.image: Required value")
    for index, volume in enumerate(spec.get("volumes") or ()):
        at = f"spec.volumes[{index}].name"
        problems += [f"{at}: {p}" for p in names.dns_label(volume.get("name") or "")]
    if spec.get("ephemeralContainers"):
        problems.append("spec.ephemeralContainers: Forbidden: cannot be set on create")
    if problems:
        raise BadManifest("; ".join(problems))
