"""What a Pod's volumes are on the node: directories, files that are replaced together, tmpfs.

Room kubelet; called by pod_sync.py and container_config.py, runs as root. All of it lies below
`<node dir>/pods/<uid>`, and `clean_up` removes it after any crash. Secrets are kept in memory,
never on disk.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kubelet import huge_pages
from kubelet.claims import ClaimNotReady, claim_name, find_volume, host_path_of
from kubelet.environment import (
    ConfigMissing,
    Fetch,
    Surroundings,
    expand,
    field_value,
    references_in,
    resource_value,
)
from kubelet.host_path import WrongHostPath, check_host_path
from kubelet.image_mounts import mount_layers
from kubelet.local_storage import LocalStorage
from kubelet.memory_medium import memory_options
from kubelet.mount_points import unmount_below
from kubelet.ownership import give_to_group
from kubelet.runtime import syscalls
from kubelet.runtime.protocol import Device, Mount
from kubelet.runtime.tree_removal import remove_tree
from kubelet.service_account_tokens import NoToken, PodTokens
from kubelet.sub_path import bind_sub_path
from kubelet.volume_files import File, write_files
from kubelet.volume_kinds import is_recursive_read_only, what_is_missing

Object = dict[str, Any]

DEFAULT_MODE = 0o644
_FROM_API = ("configMap", "secret", "downwardAPI", "projected")
_IN_MEMORY = ("secret", "projected")
_PROPAGATIONS: dict[str, Literal["private", "slave", "shared"]] = {
    "None": "private",
    "HostToContainer": "slave",
    "Bidirectional": "shared",
}
_TMPFS_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV


class VolumeError(Exception):
    """A volume cannot be set up now; the message is for the event FailedMount."""


class Volumes:
    """The volumes of one node's Pods. Safe for many threads as long as each Pod has one."""

    def __init__(
        self,
        node_dir: str,
        fetch: Fetch,
        tokens: PodTokens | None = None,
        *,
        has_recursive_read_only: bool = True,
    ) -> None:
        self._pods = Path(node_dir) / "pods"
        self._fetch, self._tokens = fetch, tokens
        self._has_recursive_read_only = has_recursive_read_only
        self.storage = LocalStorage(node_dir)
        self._claims: dict[str, dict[str, str]] = {}  # uid → volume name → where its claim lies
        self._pods.mkdir(mode=0o700, parents=True, exist_ok=True)

    def pod_dir(self, uid: str) -> Path:
        return self._pods / uid

    def pods(self) -> list[str]:
        """Uids of the Pods that have something here."""
        return os.listdir(self._pods)

    # ---- setting up ----

    def prepare(self, pod: Object, around: Surroundings) -> dict[str, str]:
        """Host path by volume name; raises VolumeError. Safe to repeat: files that come from the
        API are brought up to date, nothing else is touched."""
        paths = {}
        for volume in pod["spec"].get("volumes") or ():
            try:
                paths[volume["name"]] = self._prepare(pod, volume, around)
            except (
                VolumeError, ClaimNotReady, NoToken, WrongHostPath, ConfigMissing, OSError
            ) as failure:  # fmt: skip
                name = volume["name"]
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{name}" : {failure}'
                ) from failure
        return paths

    def _prepare(self, pod: Object, volume: Object, around: Surroundings) -> str:
        if volume.get("hostPath") is not None:
            return check_host_path(volume["hostPath"])
        path = self.pod_dir(pod["metadata"]["uid"]) / "volumes" / volume["name"]
        if claim_name(pod, volume) is not None:
            return self._claimed(path, pod, volume, around)
        if volume.get("image") is not None:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            return str(path)  # filled when its image is there: see `mount_image`
        if (missing := what_is_missing(volume)) is not None:
            raise VolumeError(missing)
        if not any(volume.get(kind) is not None for kind in _FROM_API):
            self._empty_dir(path, pod, volume.get("emptyDir") or {}, around.node)
            return str(path)
        files = self._files(pod, volume, around)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        if any(volume.get(kind) is not None for kind in _IN_MEMORY):
            _ensure_memory(path)
        write_files(path, files, _fs_group(pod))
        return str(path)

    def _claimed(self, mark: Path, pod: Object, volume: Object, around: Surroundings) -> str:
        """`mark` is made once the volume is the Pod's: that is not done again at each look."""
        found = find_volume(pod, volume, around)
        path = host_path_of(found, around, self.storage)
        if found["spec"].get("volumeMode") != "Block" and stat.S_ISBLK(os.stat(path).st_mode):
            path = _mount_device(path, found["spec"]["local"].get("fsType"), mark)
        if not mark.is_dir():
            group = _fs_group(pod)
            if group is not None and "hostPath" not in found["spec"]:
                policy = pod["spec"]["securityContext"].get("fsGroupChangePolicy")
                give_to_group(path, group, policy)
            mark.mkdir(mode=0o700, parents=True)
        self._claims.setdefault(pod["metadata"]["uid"], {})[volume["name"]] = path
        return path

    def _empty_dir(self, path: Path, pod: Object, source: Object, node: Object) -> None:
        group = _fs_group(pod)
        mode = 0o777 if group is None else 0o2777
        if not path.is_dir():
            making = path.with_name(f".{path.name}")  # complete once it has its name
            making.mkdir(mode=0o777, parents=True, exist_ok=True)
            os.chown(making, -1, -1 if group is None else group)
            making.chmod(mode)
            making.rename(path)
        medium = source.get("medium") or ""
        if medium and not os.path.ismount(path):  # also after a crash in between, or a reboot
            rights = f"mode={mode | (0o1000 if group is None else 0):o},gid={group or 0}"
            if medium.startswith(huge_pages.MEDIUM):
                kind, options = "hugetlbfs", huge_pages.mount_options(pod, medium)
            else:
                kind, options = "tmpfs", memory_options(source.get("sizeLimit"), pod, node)
            data = ",".join(filter(None, (rights, options)))
            syscalls.mount(kind, str(path), kind, _TMPFS_FLAGS, data)

    def mount_image(self, pod: Object, name: str, layers: Sequence[str]) -> None:
        """Fill an image volume. Safe to repeat."""
        path = self.pod_dir(pod["metadata"]["uid"]) / "volumes" / name
        if not os.path.ismount(path):
            mount_layers(layers, str(path))

    # ---- files from the API ----

    def _files(self, pod: Object, volume: Object, around: Surroundings) -> dict[str, File]:
        for kind in _FROM_API[:3]:
            if (source := volume.get(kind)) is not None:
                return self._part(pod, kind, source, source.get("defaultMode"), around)
        source = volume["projected"]
        files: dict[str, File] = {}
        for part in source.get("sources") or ():
            if (wanted := part.get("serviceAccountToken")) is not None:
                files[wanted["path"]] = self._token(pod, wanted, source.get("defaultMode"))
            if (bundle := part.get("clusterTrustBundle")) is not None:
                files[bundle["path"]] = _no_bundle(bundle)
            for kind in _FROM_API[:3]:
                if part.get(kind) is not None:
                    files |= self._part(pod, kind, part[kind], source.get("defaultMode"), around)
        return files

    def _token(self, pod: Object, wanted: Object, mode: int | None) -> File:
        """Readable by the one user that all containers run as, or by the fsGroup; else as asked."""
        if self._tokens is None:
            raise VolumeError("this node gives no tokens")
        text = self._tokens.token(pod, wanted).encode()
        user = the_user_of(pod)
        if user is not None or _fs_group(pod) is not None:
            return File(text, 0o600, user)
        return File(text, DEFAULT_MODE if mode is None else mode)

    def due_in_s(self, uid: str) -> float | None:
        """Seconds until the Pod's volumes are to be prepared again though nothing has changed."""
        return self._tokens.due_in_s(uid) if self._tokens is not None else None

    def _part(
        self, pod: Object, kind: str, source: Object, mode: int | None, around: Surroundings
    ) -> dict[str, File]:
        mode = DEFAULT_MODE if mode is None else mode
        if kind == "downwardAPI":
            return _downward(pod, source, mode, around)
        name = source.get("secretName") or source["name"]
        plural = "configmaps" if kind == "configMap" else "secrets"
        obj = self._fetch(plural, pod["metadata"]["namespace"], name)
        if obj is None:
            if source.get("optional"):
                return {}
            raise VolumeError(f'{kind.lower()} "{name}" not found')
        return _selected(kind, source, content_of(kind, obj), mode)

    def counted_dirs(self, pod: Object) -> dict[str, str]:
        """Host path by volume name, of what a Pod's volumes take: its own and its claims'."""
        uid = pod["metadata"]["uid"]
        own = self.pod_dir(uid) / "volumes"
        names = [path.name for path in own.iterdir()] if own.is_dir() else []
        return {name: str(own / name) for name in names} | self._claims.get(uid, {})

    # ---- into containers ----

    def mounts(
        self, pod: Object, container: Object, paths: Mapping[str, str], env: Mapping[str, str]
    ) -> list[Mount]:
        """The container's volumeMounts as bind mounts; raises VolumeError."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        found = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            source, volume = paths[mount["name"]], volumes[mount["name"]]
            if part := sub_path_of(mount, env):
                place = self.pod_dir(pod["metadata"]["uid"]) / "subpaths" / container["name"]
                source = _bind(source, part, place / str(index))
            found.append(_mount(source, mount, volume, self._has_recursive_read_only))
        return found

    def devices(
        self, container: Object, paths: Mapping[str, str], volumes: Sequence[Object]
    ) -> list[Device]:
        """The container's volumeDevices; raises VolumeError."""
        found = []
        by_name = {volume["name"]: volume for volume in volumes}
        for wanted in container.get("volumeDevices") or ():
            status = os.stat(paths[wanted["name"]])
            if not stat.S_ISBLK(status.st_mode):
                raise VolumeError(f'volume "{wanted["name"]}" is no block device')
            claim = by_name[wanted["name"]].get("persistentVolumeClaim") or {}
            number = status.st_rdev
            found.append(
                Device(
                    wanted["devicePath"], "b", os.major(number), os.minor(number),
                    permissions="r" if claim.get("readOnly") else "rwm",
                )
            )  # fmt: skip
        return found

    # ---- the end ----

    def clean_up(self, uid: str) -> None:
        """Unmount and remove all that was made for a Pod. Safe to repeat."""
        directory = self.pod_dir(uid)
        self._claims.pop(uid, None)
        if self._tokens is not None:
            self._tokens.forget(uid)
        if directory.exists():
            unmount_below(str(directory))
            remove_tree(directory)


def sub_path_of(mount: Object, env: Mapping[str, str]) -> str:
    """Which part of the volume is meant, "" for all of it; raises VolumeError."""
    if not (expression := mount.get("subPathExpr")):
        return str(mount.get("subPath") or "")
    missing = [name for name in references_in(expression) if name not in env]
    if missing:
        raise VolumeError(f'missing value for "{missing[0]}"')
    found = expand(expression, env)
    if found.startswith("/"):
        raise VolumeError(f"error SubPath `{found}` must not be an absolute path")
    if ".." in found.split("/"):
        raise VolumeError(f"unable to provision SubPath `{found}`: must not contain '..'")
    return found


def _mount(source: str, mount: Object, volume: Object, is_possible: bool) -> Mount:
    is_from_api = any(volume.get(kind) is not None for kind in _FROM_API)
    claim = volume.get("persistentVolumeClaim") or {}
    readonly = bool(mount.get("readOnly") or claim.get("readOnly") or volume.get("image"))
    return Mount(
        source,
        mount["mountPath"],
        readonly=readonly or is_from_api,
        ids="private" if is_from_api or volume.get("emptyDir") is not None else "mapped",
        is_recursive=is_recursive_read_only(mount, is_possible),
        propagation=_PROPAGATIONS[mount.get("mountPropagation") or "None"],
    )


def _mount_device(device: str, kind: str | None, beside: Path) -> str:
    """The file system on a disk, mounted for one Pod. A disk without one is formatted by nobody
    here: that would end what it may hold."""
    point = beside.with_name(f"{beside.name}.disk")  # a volume's name has no dot
    point.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not os.path.ismount(point):
        try:
            syscalls.mount(device, str(point), kind or "ext4")
        except OSError as failure:
            why = os.strerror(failure.errno or 0).lower()
            raise VolumeError(f"mounting {kind or 'ext4'} of {device} failed: {why}") from failure
    return str(point)


def _ensure_memory(path: Path) -> None:
    """A tmpfs, which goes to no swap where the kernel can (since 6.3): before anything is written,
    also when the directory is there from before a crash or a reboot."""
    if os.path.ismount(path):
        return
    try:
        syscalls.mount("tmpfs", str(path), "tmpfs", _TMPFS_FLAGS, "mode=755,noswap")
    except OSError as failure:
        if failure.errno != errno.EINVAL:
            raise
        syscalls.mount("tmpfs", str(path), "tmpfs", _TMPFS_FLAGS, "mode=755")


def _no_bundle(source: Object) -> File:
    """There are no ClusterTrustBundles here; one that is optional is an empty file."""
    if not source.get("optional"):
        raise VolumeError("this cluster serves no ClusterTrustBundles")
    return File(b"", DEFAULT_MODE)


def _bind(source: str, sub_path: str, place: Path) -> str:
    try:
        bind_sub_path(source, sub_path, place)
    except OSError as failure:
        raise VolumeError(
            f"failed to prepare subPath for volumeMount {sub_path!r}: {failure.strerror}"
        ) from failure
    return str(place)


def content_of(kind: str, obj: Object) -> dict[str, bytes]:
    """What a configMap or secret holds, by key."""
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    binary = {k: base64.b64decode(v) for k, v in (obj.get("binaryData") or {}).items()}
    return binary | {key: value.encode() for key, value in (obj.get("data") or {}).items()}


def _selected(kind: str, source: Object, data: dict[str, bytes], mode: int) -> dict[str, File]:
    if not source.get("items"):
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in source["items"]:
        own = item.get("mode")
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], mode if own is None else own)
        elif not source.get("optional"):
            what = "config" if kind == "configMap" else "secret"
            raise VolumeError(f"references non-existent {what} key: {item['key']}")
    return files


def _downward(pod: Object, source: Object, mode: int, around: Surroundings) -> dict[str, File]:
    files = {}
    for item in source.get("items") or ():
        if item.get("fieldRef"):
            text = field_value(pod, item["fieldRef"]["fieldPath"], around)
        else:
            container = pod["spec"]["containers"][0]
            text = resource_value(pod, container, item["resourceFieldRef"], around.node)
        own = item.get("mode")
        files[item["path"]] = File(text.encode(), mode if own is None else own)
    return files


def _fs_group(pod: Object) -> int | None:
    found: int | None = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return found


def the_user_of(pod: Object) -> int | None:
    """The user that all containers say they run as; None if they differ or one does not say."""
    spec = pod["spec"]
    of_pod = (spec.get("securityContext") or {}).get("runAsUser")
    users = {
        own if (own := (c.get("securityContext") or {}).get("runAsUser")) is not None else of_pod
        for part in ("initContainers", "containers", "ephemeralContainers")
        for c in spec.get(part) or ()
    }
    return users.pop() if len(users) == 1 else None
