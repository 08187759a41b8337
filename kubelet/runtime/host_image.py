"""The built-in image `host`: a skeleton root in which the host's own /usr is bound read-only.

The launcher makes the skeleton once; every container of that image has it as the lower layer of its
overlay. It holds no secrets (no shadow, no keys, no machine-id) and is made anew, in a directory of
its own, when one of the files it was copied from has changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from dataclasses import dataclass

# Copied from the host's /etc if present: names, libraries, certificates, time zone, shells.
_ETC = (
    "alternatives", "bash.bashrc", "ca-certificates.conf", "debian_version", "gai.conf", "group",
    "host.conf", "inputrc", "issue", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "login.defs", "magic", "mime.types", "nsswitch.conf", "os-release", "passwd", "perl", "profile",
    "protocols", "python3", "rpc", "services", "shells", "skel", "ssl/certs", "ssl/openssl.cnf",
    "terminfo", "timezone",
)  # fmt: skip
_MADE_BY_THE_KUBELET = ("hostname", "hosts", "resolv.conf")  # bind mounts need something to cover
_DIRECTORIES = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555,
    "root": 0o700, "run": 0o755, "run/lock": 0o1777, "srv": 0o755, "sys": 0o555, "tmp": 0o1777,
    "usr": 0o755, "var": 0o755, "var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755,
    "var/spool": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_LINKS = {"etc/mtab": "/proc/mounts", "var/run": "/run", "var/lock": "/run/lock"}
_BESIDE_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_COPY_MAX_BYTES = 64 << 20  # nothing in /etc is larger; a bound against surprises


@dataclass(frozen=True)
class HostImage:
    """`lower_dir` is the skeleton; `readonly_binds` are bound from the host at the same path."""

    lower_dir: str
    readonly_binds: tuple[str, ...]


def prepare(directory: str) -> HostImage:
    """Make the skeleton below `directory`, or find the one that is still true."""
    names = [*_ETC, *sorted(n for n in os.listdir("/etc") if n.startswith("python3."))]
    sources = [path for name in names if os.path.lexists(path := f"/etc/{name}")]
    lower_dir = f"{directory}/{_fingerprint(sources)}"
    if not os.path.isdir(lower_dir):
        unfinished = f"{lower_dir}.{os.getpid()}"
        _build(unfinished, sources)
        with contextlib.suppress(OSError):  # another launcher was faster: its skeleton is the same
            os.rename(unfinished, lower_dir)
    return HostImage(lower_dir, tuple(_readonly_binds()))


def _readonly_binds() -> list[str]:
    """/usr; and on a host whose /bin, /lib … are not links into /usr, those as well."""
    real = [f"/{name}" for name in _BESIDE_USR if os.path.isdir(f"/{name}")]
    return ["/usr", *(path for path in real if not os.path.islink(path))]


def _fingerprint(sources: list[str]) -> str:
    parts = []
    for path in sources:
        status = os.lstat(path)
        parts.append(f"{path} {status.st_mtime_ns} {status.st_size} {status.st_mode}")
    return f"{zlib.crc32(chr(10).join(parts).encode()):08x}"


def _build(root: str, sources: list[str]) -> None:
    os.makedirs(root, exist_ok=True)
    for name, mode in _DIRECTORIES.items():
        os.makedirs(f"{root}/{name}", exist_ok=True)
        os.chmod(f"{root}/{name}", mode)
    for name in _BESIDE_USR:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"{root}/{name}")
    for name in _MADE_BY_THE_KUBELET:
        os.close(os.open(f"{root}/etc/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
    for path in sources:
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        _copy(path, root + path)


def _copy(source: str, target: str) -> None:
    """A file, link or directory with its mode; links stay links if they lead into /usr or /etc."""
    status = os.lstat(source)
    if stat.S_ISLNK(status.st_mode):
        if _end_of(source).startswith(("/usr/", "/etc/")):
            os.symlink(os.readlink(source), target)
            return
        if not os.path.isfile(source):
            return  # leads nowhere, or to a directory that a container has no use for
        status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(source):
            _copy(f"{source}/{name}", f"{target}/{name}")
    elif (
        stat.S_ISREG(status.st_mode) and status.st_mode & 0o004 and status.st_size < _COPY_MAX_BYTES
    ):
        with open(source, "rb") as reader, open(target, "wb") as writer:
            writer.write(reader.read())
        os.chmod(target, stat.S_IMODE(status.st_mode))


def _end_of(link: str) -> str:
    """Where a link leads in the end; the kernel knows at once what realpath() asks name by name."""
    try:
        fd = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return os.path.realpath(link)  # it leads nowhere
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
