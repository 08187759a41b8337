"""The containerd of one node, Debian's program (packages containerd and runc).

    python -m kubelet.containerd.daemon --root R --images I --cgroup-root C

A component of the cluster, started by the supervisor. It writes containerd's configuration below R,
enters the cgroup in which `podium down` looks for engines, and becomes containerd by exec. What
runs lies below R, images below I, which outlives `podium down`; the socket's path must be short.

Pods get their network from the kubelet (kubelet/network), as with Podium's own engine. containerd
insists on a CNI plugin, so it is given one that only says that there is an eth0.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import NoReturn

from kubelet.containerd import cgroup_trees
from kubelet.runtime.errors import HostUnsupported
from kubelet.runtime.leftovers import remove_everything

PAUSE_IMAGE = "podium.local/pause:1"
_NEEDED = {"containerd": "containerd", "runc": "runc", "ctr": "containerd"}  # program: package

_CONFIG = """\
version = 2
root = "{images}"
state = "{root}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
  address = "{address}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = {restrict_oom}
  disable_apparmor = {no_apparmor}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{root}/cni"
  conf_dir = "{root}/cni"

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{root}/certs.d"
"""

_CNI_CONFIG = '{"cniVersion": "0.4.0", "name": "podium", "plugins": [{"type": "podium"}]}\n'
_CNI_PLUGIN = """\
#!/bin/sh
# The network of a Pod is made by the kubelet, once the sandbox is there. containerd wants to hear
# of an interface with an address all the same.
cat >/dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
printf '{"cniVersion": "0.4.0", "interfaces": [{"name": "%s", "sandbox": "%s"}],' \\
    "$CNI_IFNAME" "$CNI_NETNS"
printf ' "ips": [{"version": "4", "interface": 0, "address": "127.0.0.1/8"}]}'
"""


def socket_path(cgroup_root: str) -> str:
    """Where this node's containerd listens."""
    return f"/run/podium/{cgroup_root}/containerd.sock"


def main(arguments: list[str] | None = None) -> NoReturn:
    given = sys.argv[1:] if arguments is None else arguments
    options = dict(zip(given[::2], given[1::2], strict=False))
    if set(options) != {"--root", "--images", "--cgroup-root"}:
        sys.exit(f"usage: python -m {__spec__.name} --root DIR --images DIR --cgroup-root CGROUP")
    root, images, cgroup_root = (options[f"--{name}"] for name in ("root", "images", "cgroup-root"))
    try:
        check_programs()
    except HostUnsupported as failure:
        sys.exit(str(failure))
    config = write_configuration(root, images, cgroup_root)
    cgroup_trees.enter(cgroup_root)
    if fd := os.environ.pop("PODIUM_READY_FD", ""):
        os.write(int(fd), b"ready\n")
        os.close(int(fd))
    os.execvp("containerd", ["containerd", "--config", config])


def check_programs() -> None:
    """HostUnsupported when a program is not there, naming its package."""
    for program, package in _NEEDED.items():
        if shutil.which(program) is None:
            raise HostUnsupported(
                f"--runtime containerd needs the program {program}: apt-get install {package}"
            )


def command(root: str, images: str, cgroup_root: str) -> list[str]:
    """What the supervisor runs."""
    module = [sys.executable, "-P", "-m", "kubelet.containerd.daemon"]
    return [*module, "--root", root, "--images", images, "--cgroup-root", cgroup_root]


@contextlib.contextmanager
def running(root: str, images: str, cgroup_root: str) -> Iterator[None]:
    """For the clean-up after the component has ended: a containerd, if none answers. What starts
    here `erase` ends."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(socket_path(cgroup_root))
        except OSError:
            subprocess.Popen(command(root, images, cgroup_root), stdin=subprocess.DEVNULL)
    yield


def erase(root: str, cgroup_root: str) -> None:
    """Kill containerd, its shims and whatever they run, and remove all but the images."""
    remove_everything(root, cgroup_root)
    cgroup_trees.remove_everywhere(cgroup_root)
    shutil.rmtree(os.path.dirname(socket_path(cgroup_root)), ignore_errors=True)
    with contextlib.suppress(OSError):  # another cluster's socket is still in it
        os.rmdir(os.path.dirname(os.path.dirname(socket_path(cgroup_root))))


def write_configuration(root: str, images: str, cgroup_root: str) -> str:
    """Everything that containerd reads; the path of its configuration."""
    address = socket_path(cgroup_root)
    for directory in (os.path.dirname(address), images, f"{root}/cni", f"{root}/certs.d"):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    text = _CONFIG.format(
        root=root,
        images=images,
        address=address,
        pause_image=PAUSE_IMAGE,
        restrict_oom=_toml(not _may_lower_oom_score()),
        no_apparmor=_toml(not os.path.exists("/sys/kernel/security/apparmor")),
    )
    _write(f"{root}/cni/10-podium.conflist", _CNI_CONFIG, 0o600)
    for plugin in ("podium", "loopback"):
        _write(f"{root}/cni/{plugin}", _CNI_PLUGIN, 0o700)
    _write(f"{root}/config.toml", text, 0o600)
    return f"{root}/config.toml"


def _may_lower_oom_score() -> bool:
    """Without CAP_SYS_RESOURCE runc fails where it should lower a score."""
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            before = file.read()
            file.write(str(int(before) - 1))
            file.flush()
            file.write(before)
    except OSError:
        return False
    return True


def _toml(value: bool) -> str:
    return "true" if value else "false"


def _write(path: str, text: str, mode: int) -> None:
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
