"""What a Pod's volumes are on the node: directories, files that are replaced atomically, tmpfs.

Room kubelet, called by pod_sync.py. Everything lies below `<node dir>/pods/<uid>`; `clean_up`
removes it again after any crash. ConfigMaps and Secrets are laid out as Kubernetes does: the files
are links into `..data`, itself a link to a directory that is replaced as a whole, so that a reader
never sees half an update. Secrets are kept in memory, never on disk.
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubelet.pod_spec import field_value, resource_value
from kubelet.runtime import syscalls
from kubelet.runtime.protocol import Mount
from podium.api import quantity

Object = dict[str, Any]
Fetch = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) → the object, None when there is none."""


class VolumeError(Exception):
    """A volume cannot be set up now; the message is for the event FailedMount."""


class Volumes:
    """The volumes of one node's Pods. Safe for many threads, as each Pod has one at a time."""

    def __init__(self, node_dir: str, fetch: Fetch) -> None:
        self._pods = Path(node_dir) / "pods"
        self._fetch = fetch
        self._pods.mkdir(mode=0o700, parents=True, exist_ok=True)

    def pod_dir(self, uid: str) -> Path:
        return self._pods / uid

    def prepare(self, pod: Object, node: Object) -> dict[str, str]:
        """Host path by volume name; raises VolumeError. Safe to repeat: it brings files up to
        date."""
        return {
            volume["name"]: self._prepare(pod, volume, node)
            for volume in pod["spec"].get("volumes") or ()
        }

    def _prepare(self, pod: Object, volume: Object, node: Object) -> str:
        if volume.get("hostPath") is not None:
            return _host_path(volume["hostPath"])
        path = self.pod_dir(pod["metadata"]["uid"]) / "volumes" / volume["name"]
        if volume.get("emptyDir") is not None:
            self._empty_dir(path, pod, volume["emptyDir"])
            return str(path)
        files = self._files(pod, volume, node)
        if volume.get("secret") is not None and not path.is_dir():
            _make(path, 0o755)
            syscalls.mount("tmpfs", str(path), "tmpfs", _SAFE, "mode=755")
        _make(path, 0o755)
        _write_atomically(path, files, _group(pod))
        return str(path)

    def _empty_dir(self, path: Path, pod: Object, source: Object) -> None:
        if path.is_dir():
            return
        _make(path, 0o777)
        os.chmod(path, 0o777)
        if source.get("medium") == "Memory":
            limit = (
                f",size={quantity.memory_bytes(source['sizeLimit'])}"
                if source.get("sizeLimit")
                else ""
            )
            syscalls.mount("tmpfs", str(path), "tmpfs", _SAFE, f"mode=1777{limit}")
        group = _group(pod)
        if group is not None:
            os.chown(path, -1, group)
            os.chmod(path, 0o2777)

    def _files(self, pod: Object, volume: Object, node: Object) -> dict[str, tuple[bytes, int]]:
        """(content, mode) by relative path of a configMap, secret, downwardAPI or projected
        volume."""
        namespace = pod["metadata"]["namespace"]
        if volume.get("configMap") is not None:
            return self._keys(
                "configmaps", namespace, volume["configMap"], volume["configMap"]["name"]
            )
        if volume.get("secret") is not None:
            return self._keys(
                "secrets", namespace, volume["secret"], volume["secret"]["secretName"]
            )
        if volume.get("downwardAPI") is not None:
            return _downward(
                pod, volume["downwardAPI"], node, volume["downwardAPI"].get("defaultMode", 0o644)
            )
        source = volume.get("projected") or {}
        mode = source.get("defaultMode", 0o644)
        files: dict[str, tuple[bytes, int]] = {}
        for part in source.get("sources") or ():
            for field, kind in (("configMap", "configmaps"), ("secret", "secrets")):
                if part.get(field) is not None:
                    found = {"defaultMode": mode, **part[field]}
                    files |= self._keys(kind, namespace, found, part[field]["name"])
            if part.get("downwardAPI") is not None:
                files |= _downward(pod, part["downwardAPI"], node, mode)
            if part.get("serviceAccountToken") is not None:
                raise VolumeError(
                    "projected serviceAccountToken volumes are not supported in this version"
                )
        return files

    def _keys(
        self, kind: str, namespace: str, source: Object, name: str
    ) -> dict[str, tuple[bytes, int]]:
        mode, optional = source.get("defaultMode", 0o644), bool(source.get("optional"))
        obj = self._fetch(kind, namespace, name)
        if obj is None:
            if optional:
                return {}
            raise VolumeError(f'{kind[:-1]} "{name}" not found')
        data = binary_data(obj)
        if not source.get("items"):
            return {key: (value, mode) for key, value in data.items()}
        files = {}
        for item in source["items"]:
            if item["key"] in data:
                files[item["path"]] = (data[item["key"]], item.get("mode", mode))
            elif not optional:
                raise VolumeError(f"references non-existent config key: {item['key']}")
        return files

    def mounts(self, pod: Object, container: Object, paths: Mapping[str, str]) -> list[Mount]:
        """The container's volumeMounts as bind mounts; a subPath is resolved inside its volume."""
        found = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            source = paths[mount["name"]]
            if mount.get("subPath"):
                source = self._sub_path(pod, container["name"], index, source, mount["subPath"])
            kinds = next(v for v in pod["spec"]["volumes"] if v["name"] == mount["name"])
            is_config = any(
                kinds.get(k) is not None
                for k in ("configMap", "secret", "downwardAPI", "projected")
            )
            found.append(
                Mount(source, mount["mountPath"], bool(mount.get("readOnly")) or is_config)
            )
        return found

    def _sub_path(self, pod: Object, container: str, index: int, volume: str, sub_path: str) -> str:
        """Bound to a place of its own first: a link that a container put into the volume leads
        nowhere else, now or later (`man 2 openat2`, RESOLVE_IN_ROOT)."""
        place = self.pod_dir(pod["metadata"]["uid"]) / "subpaths" / container / str(index)
        if os.path.ismount(place):
            return str(place)
        root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            target = _open_or_make(root, sub_path)
            try:
                if stat.S_ISDIR(os.fstat(target).st_mode):
                    _make(place, 0o755)
                else:
                    _make(place.parent, 0o755)
                    place.touch()
                tree = syscalls.open_tree(f"/proc/self/fd/{target}")
                try:
                    syscalls.move_mount(tree, str(place))
                finally:
                    os.close(tree)
            finally:
                os.close(target)
        except OSError as failure:
            raise VolumeError(
                f"failed to prepare subPath {sub_path}: {failure.strerror}"
            ) from failure
        finally:
            os.close(root)
        return str(place)

    def clean_up(self, uid: str) -> None:
        """Unmount and remove all that was made for a Pod. Safe to repeat."""
        directory = self.pod_dir(uid)
        for point in sorted(mounts_below(str(directory)), reverse=True):
            syscalls.umount(point, syscalls.MNT_DETACH)
        shutil.rmtree(directory, ignore_errors=False) if directory.exists() else None

    def pods(self) -> list[str]:
        """Uids of the Pods that have something here."""
        return os.listdir(self._pods)


_SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV


def mounts_below(directory: str) -> list[str]:
    """Mount points in this mount namespace (`man 5 proc_pid_mountinfo`; spaces are octal there)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    return [point for point in points if point.startswith(f"{directory}/")]


def binary_data(obj: Object) -> dict[str, bytes]:
    """A ConfigMap's or Secret's content by key."""
    decoded = {k: base64.b64decode(v) for k, v in (obj.get("binaryData") or {}).items()}
    if obj.get("kind") == "Secret":
        return {k: base64.b64decode(v) for k, v in (obj.get("data") or {}).items()}
    return decoded | {k: v.encode() for k, v in (obj.get("data") or {}).items()}


def _downward(pod: Object, source: Object, node: Object, mode: int) -> dict[str, tuple[bytes, int]]:
    files = {}
    for item in source.get("items") or ():
        if item.get("fieldRef"):
            text = field_value(pod, item["fieldRef"]["fieldPath"], "", node)
        else:
            text = resource_value(pod, pod["spec"]["containers"][0], item["resourceFieldRef"], node)
        files[item["path"]] = (text.encode(), item.get("mode", mode))
    return files


def _make(path: Path, mode: int) -> None:
    path.mkdir(mode=mode, parents=True, exist_ok=True)


def _group(pod: Object) -> int | None:
    found: int | None = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return found


def _open_or_make(root: int, sub_path: str) -> int:
    """An O_PATH fd below `root`; missing directories are made on the way."""
    parts = [part for part in sub_path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        here = "/".join(parts[:count])
        try:
            os.close(syscalls.open_in_root(root, here, os.O_PATH))
        except FileNotFoundError:
            parent = syscalls.open_in_root(
                root, "/".join(parts[: count - 1]) or ".", os.O_PATH | os.O_DIRECTORY
            )
            try:
                os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
            finally:
                os.close(parent)
    return syscalls.open_in_root(root, "/".join(parts) or ".", os.O_PATH)


_HOST_PATH_CHECKS: dict[str, Callable[[int], bool]] = {
    "Directory": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


def _host_path(source: Object) -> str:
    path, kind = source["path"], source.get("type") or ""
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    elif not os.path.exists(path):
        if kind:
            raise VolumeError(f"hostPath type check failed: {path} is not a {kind}")
        os.makedirs(path, mode=0o755)
    expected = _HOST_PATH_CHECKS.get(kind.removesuffix("OrCreate"))
    if expected is not None and not expected(os.stat(path).st_mode):
        raise VolumeError(
            f"hostPath type check failed: {path} is not a {kind.removesuffix('OrCreate')}"
        )
    return str(path)


def _write_atomically(
    path: Path, files: Mapping[str, tuple[bytes, int]], group: int | None
) -> None:
    """Nothing happens when nothing has changed."""
    data = path / "..data"
    current = data.resolve() if data.is_symlink() else None
    if current is not None and _content(current) == {
        name: content for name, (content, _) in files.items()
    }:
        return
    fresh = path / f"..{os.urandom(6).hex()}"
    _make(fresh, 0o755)
    for name, (content, mode) in files.items():
        target = fresh / name
        _make(target.parent, 0o755)
        target.write_bytes(content)
        if group is not None:
            os.chown(target, -1, group)
        os.chmod(target, mode if group is None else mode | (mode & 0o700) >> 3)
    link = path / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(data)
    tops = {name.split("/", 1)[0] for name in files}
    for name in tops:
        if not (path / name).is_symlink():
            (path / name).symlink_to(f"..data/{name}")
    for entry in path.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if current is not None and current.parent == path.resolve():
        shutil.rmtree(current)


def _content(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()
    }
