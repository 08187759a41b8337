"""What the runtime did to make a container, as a shell script that does the same by hand.

Room kubelet/inspect; pure. It goes through the operations that runtime/operations.py recorded, in
their order, and has a line of shell for each; the network's commands are those that stand in the
netlink requests. Three scripts in one, as the runtime has three processes: outside (sandbox,
cgroups), the container's own mount namespace, and, once its root is changed and no tool of the host
can be reached any more, a few system calls by python3. All names are the script's own.
"""

from __future__ import annotations

import posixpath
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kubelet.inspect import last_steps
from kubelet.network.pod_network import ByHand
from kubelet.runtime import syscalls
from kubelet.runtime.protocol import Operations

Operation = tuple  # a name, then what it was done with

_FLAGS = (
    (syscalls.CLONE_NEWIPC, "--ipc"), (syscalls.CLONE_NEWNET, "--net"),
    (syscalls.CLONE_NEWUTS, "--uts"), (syscalls.CLONE_NEWPID, "--pid"),
    (syscalls.CLONE_NEWUSER, "--user"), (syscalls.CLONE_NEWCGROUP, "--cgroup"),
)  # fmt: skip
_OPTIONS = (
    (syscalls.MS_RDONLY, "ro"), (syscalls.MS_NOSUID, "nosuid"), (syscalls.MS_NODEV, "nodev"),
    (syscalls.MS_NOEXEC, "noexec"), (syscalls.MS_STRICTATIME, "strictatime"),
)  # fmt: skip
_PROPAGATION = {
    syscalls.MS_PRIVATE: "private", syscalls.MS_SLAVE: "slave", syscalls.MS_SHARED: "shared",
}  # fmt: skip


# Said where the first of its kind comes: by an operation's name and whether the root was changed,
# and for mounts by their target.
_COMMENTS = {
    (
        "open_tree",
        False,
    ): "volumes, the Pod's own files, /dev/shm: taken from the host, not yet seen",
    (
        "open_tree",
        True,
    ): "what of /proc may be read and not be written: mounted upon itself, read-only",
    ("mknod", True): "the devices that every container has",
    ("limit_files", True): "setrlimit(2)",
    ("remount_readonly", True): "read-only as a whole, what is mounted below it not",
}
_OF_MOUNTS = {
    "/": "from here on no mount is seen outside, nor the other way round",
    "/proc": "of its own PID namespace", "/sys": "of its own network namespace, read-only",
    "/sys/fs/cgroup": "its own cgroups, and none above them", "/dev": "a /dev of its own",
    "/dev/pts": "terminals and message queues of its own",
    "/proc/acpi": "what of /proc and /sys tells too much: hidden below nothing",
}  # fmt: skip
_TOP_CONTROLS = tuple(f"/sys/fs/cgroup/{name}cgroup.subtree_control" for name in ("", "unified/"))


class NotRepeatable(Exception):
    """There are no commands for it; the message says why."""


@dataclass(frozen=True)
class Subject:
    """Whose script it is. `pid` is the live container's first process, 0 for none."""

    pod: str  # "default/web"
    container: str
    node: str
    pid: int
    pid_namespace: str  # "container", "pod", "node"


def script(subject: Subject, done: Operations, network: ByHand | None) -> str:
    """Raises NotRepeatable."""
    return "\n".join(_Writer(subject, done, network).lines()) + "\n"


@dataclass
class _Writer:
    subject: Subject
    done: Operations
    network: ByHand | None
    _trees: dict[int, str] = field(default_factory=dict)  # descriptor → what stands for it
    _count: int = 0
    _said: set[str] = field(default_factory=set)
    _is_inside: bool = False  # the root was changed: paths are the container's
    _has_user_namespace: bool = False

    def lines(self) -> Iterator[str]:
        everything = [*self.done.sandbox, *self.done.container]
        if any(one[0] == "cut off" for one in everything):
            raise NotRepeatable("too much was done to make this container: the record is cut off")
        if any(one[0] in ("map_ids", "new_mount") for one in everything):
            raise NotRepeatable(
                f"container {self.subject.container} is in a user namespace: its root is made of "
                "idmapped mounts (mount_setattr(2)), for which there is no command"
            )
        yield from self._head()
        yield from self._sandbox()
        yield from self._network()
        outside, inside = self._split()
        yield from self._cgroups(outside)
        yield from self._world(inside)
        yield from self._start()

    # ---- words ----

    def _path(self, path: str) -> str:
        """A path as a word of shell: the live Pod's own directories and cgroups become ours."""
        if self._is_inside:
            return '"$ROOT"' + shlex.quote(posixpath.normpath(path)) if path != "/" else '"$ROOT"'
        for ours, theirs in (
            ('"$RUN"/container', self.done.directory), ('"$RUN"/shm', self.done.shm_dir),
        ):  # fmt: skip
            if path == theirs or path.startswith(f"{theirs}/"):
                rest = path[len(theirs) :]
                return ours + (shlex.quote(rest) if rest else "")
        return self._cgroup_path(path) or shlex.quote(path)

    def _cgroup_path(self, path: str) -> str:
        before, found, rest = path.partition(f"/{self.done.cgroup_parent}")
        if not found:
            return ""
        parts = rest.strip("/").split("/")
        is_container = len(parts[0]) == 64
        own = '/"$NAME"' + ("/container" if is_container else "")
        tail = "/".join(parts[1:] if is_container else parts)
        return shlex.quote(before) + own + (f"/{shlex.quote(tail)}" if tail else "")

    # ---- the frame ----

    def _head(self) -> Iterator[str]:
        who = self.subject
        yield "#!/bin/bash"
        yield f"# Container {who.container} of Pod {who.pod} on {who.node}, built by hand."
        yield from _text("head.sh")
        if self.network:
            yield f"BRIDGE={shlex.quote(self.network.bridge)}"
            yield "HOST_END=hand$$             # the host's end of its veth"
            free = f"{self.network.free_ip}/{self.network.address.prefix_length}"
            yield f"ADDRESS=${{ADDRESS:-{free}}}  # of the node's Pod network; no Pod had it"
        else:
            yield "HOST_END=none"
        environ = f"/proc/{who.pid}/environ" if who.pid else ""
        yield f"ENVIRON=${{ENVIRON:-{environ}}}  # of the live one; no Secret stands here"
        yield ""
        yield from _text("clean_up.sh")

    # ---- what all containers of the Pod share ----

    def _sandbox(self) -> Iterator[str]:
        yield "\n### 1. The sandbox: the namespaces that the Pod's containers share"
        flags = 0
        for one in self.done.sandbox:
            if one[0] == "unshare":
                flags |= one[1]
        kinds = " ".join(word for flag, word in _FLAGS if flags & flag)
        shares_pid = self.subject.pid_namespace == "pod"
        if shares_pid:
            yield "# and a PID namespace: its first process stands for podium-init"
            kinds += " --pid --fork"
        yield "# the runtime's shim unshares; here a sleeping process holds the namespaces open"
        yield f"unshare {kinds} -- sleep infinity & HOLDER=$!"
        yield f'await "$HOLDER"{" fork" if shares_pid else ""}'
        for one in self.done.sandbox:
            yield from self._outside(one)

    def _outside(self, one: Operation) -> Iterator[str]:
        match one:
            case ("sethostname", name):
                yield f'nsenter --target "$SANDBOX" --uts -- hostname {shlex.quote(name)}'
            case ("loopback_up",):
                yield 'nsenter --target "$SANDBOX" --net -- ip link set lo up'
            case ("sysctl", path, value):
                words = f"{shlex.quote(value)} {shlex.quote(path)}"
                inside = """sh -c 'echo "$1" > "$2"' sysctl"""
                yield f'nsenter --target "$SANDBOX" --net --ipc --uts -- {inside} {words}'
            case ("mkdir", path, mode):
                yield f"mkdir -p -m {mode:o} {self._path(path)}"
            case ("make_cgroup", path):
                if word := self._cgroup_path(path):
                    yield f"mkdir -p {word}"
            case ("write", path, value):
                yield from self._write(path, value)

    def _write(self, path: str, value: str) -> Iterator[str]:
        if self._cgroup_path(path):
            yield f"echo {shlex.quote(value)} > {self._path(path)}"
        elif path in _TOP_CONTROLS:
            yield f"echo {shlex.quote(value)} > {shlex.quote(path)}"

    def _network(self) -> Iterator[str]:
        if not self.network:
            return
        yield "\n### 2. The network: a veth pair, one end on the node's bridge (rtnetlink)"
        own = self.network
        words = {
            own.address.host_interface: '"$HOST_END"', "NETNS": '"$SANDBOX"',
            own.address.mac: '"$(mac_of "$ADDRESS")"',
        }  # fmt: skip
        for command in own.on_host:
            if command[:3] == ("ip", "link", "set") and "alias" in command:
                yield 'ip link set "$HOST_END" alias "$NAME"'
            elif command:
                yield " ".join(words.get(word, shlex.quote(word)) for word in command)
        yield 'ip link set "$HOST_END" master "$BRIDGE" up'
        yield 'bridge link set dev "$HOST_END" hairpin on'
        inside = 'nsenter --target "$SANDBOX" --net -- ip'
        name = shlex.quote(own.interface)
        yield f"{inside} link set {name} up"
        yield f'{inside} address replace "$ADDRESS" broadcast + dev {name}'
        gateway = shlex.quote(own.address.gateway)
        yield f"{inside} route replace default via {gateway} dev {name}"

    # ---- the container ----

    def _split(self) -> tuple[list[Operation], list[Operation]]:
        """What the shim did, and what the first process did after `clone`."""
        names = [one[0] for one in self.done.container]
        at = names.index("clone") if "clone" in names else 0
        return list(self.done.container[:at]), list(self.done.container[at:])

    def _cgroups(self, done: list[Operation]) -> Iterator[str]:
        yield "\n### 3. The container's directories and cgroups"
        for one in done:
            yield from self._outside(one)

    def _world(self, done: list[Operation]) -> Iterator[str]:
        yield "\n### 4. Its first process: in the cgroups, then in a root of its own"
        yield "# What follows runs in the new namespaces: the script writes it down for itself."
        yield "cat > \"$RUN/process.sh\" <<'PROCESS'"
        yield "set -euo pipefail"
        index = next((n for n, one in enumerate(done) if one[0] == "unshare"), len(done))
        for one in done[:index]:
            yield from self._joining(one)
        if index < len(done):
            yield "# unshare(CLONE_NEWCGROUP): from now on these cgroups are the root that it sees"
            yield 'exec unshare --cgroup -- bash "$RUN/root.sh"'
        else:
            yield 'exec bash "$RUN/root.sh"'
        yield "PROCESS"
        yield ""
        yield "cat > \"$RUN/root.sh\" <<'ROOT'"
        yield from _text("root.sh")
        for one in done[index + 1 :]:
            yield from self._inside(one)
        yield "\n# The runtime changed its root before it mounted anything, so that no link in"
        yield "# an image leads out; a shell needs the host's tools, so here that comes last."
        yield 'exec python3 -I "$RUN/last-steps.py"'
        yield "ROOT"
        yield ""
        yield "cat > \"$RUN/last-steps.py\" <<'STEPS'"
        yield from last_steps.lines(done)
        yield "STEPS"

    def _joining(self, one: Operation) -> Iterator[str]:
        match one:
            case ("write", path, "0") if path.endswith("cgroup.procs"):
                own = self._cgroup_path(path)
                yield f"echo 0 > {own or shlex.quote(path)}"
            case ("write", "/proc/self/oom_score_adj", value):
                words = f'echo "oom_score_adj {value} is not allowed here" >&2'
                yield f"echo {value} > /proc/self/oom_score_adj || {words}"

    def _inside(self, one: Operation) -> Iterator[str]:
        name, *args = one
        comment = _COMMENTS.get((name, self._is_inside))
        if name == "mount" and args[1] in _OF_MOUNTS:
            comment = _OF_MOUNTS[args[1]]
        if comment and comment not in self._said:
            self._said.add(comment)
            yield f"# {comment}"
        handler: Callable[..., Iterator[str]] | None = getattr(self, f"_do_{name}", None)
        if handler is not None:
            yield from handler(*args)

    def _do_open_tree(self, fd: int, path: str, with_mounts_below: bool) -> Iterator[str]:
        if self._is_inside and path.startswith("/dev/pts/"):
            return
        if not with_mounts_below:  # the /proc of a neighbour's PID namespace, in which we are too
            self._trees[fd] = "proc"
            return
        self._count += 1
        self._trees[fd] = f'"$RUN"/tree/{self._count}'
        yield f"take {self._path(path)} {self._trees[fd]}"

    def _do_set_propagation(self, fd: int, propagation: int) -> Iterator[str]:
        if tree := self._trees.get(fd):
            yield f"mount --make-r{_PROPAGATION[propagation]} {tree}"

    def _do_make_readonly(self, fd: int, is_recursive: bool) -> Iterator[str]:
        if tree := self._trees.get(fd):
            yield f"read_only {tree}{' all' if is_recursive else ''}"

    def _do_move_mount(self, fd: int, target: str) -> Iterator[str]:
        tree = self._trees.pop(fd, "")
        if tree == "proc":
            yield 'mount -t proc -o nosuid,nodev,noexec proc "$ROOT"/proc'
        elif tree:
            yield f"give {tree} {self._path(target)}"

    def _do_overlay(self, lower: list[str], directory: str) -> Iterator[str]:
        yield "# the image's layers, the topmost first, below a layer of its own"
        for number, path in enumerate(reversed(lower)):
            yield f"exec {10 + number}< {shlex.quote(path)}"
        below = ":".join(f"/proc/self/fd/{10 + number}" for number in range(len(lower)))
        own = self._path(directory)
        above = f"upperdir={own}/upper,workdir={own}/work,volatile"
        yield f'mount -t overlay -o lowerdir={below},{above} overlay "$ROOT"'
        yield " ".join(["exec", *(f"{10 + number}<&-" for number in range(len(lower)))])

    def _do_mount(
        self, source: str, target: str, kind: str, flags: int, data: str
    ) -> Iterator[str]:
        if kind == "overlay":
            return
        if flags == syscalls.MS_REC | syscalls.MS_PRIVATE:
            yield f"mount --make-rprivate {shlex.quote(target)}"
            return
        options = [word for flag, word in _OPTIONS if flags & flag] + ([data] if data else [])
        said = f"-o {shlex.quote(','.join(options))} " if options else ""
        yield f"mount -t {kind} {said}{shlex.quote(source)} {self._path(target)}"

    def _do_pivot_root(self, *_: str) -> Iterator[str]:
        self._is_inside = True
        yield "# ---- its root: what the runtime mounts after pivot_root(2)"

    def _do_remount_readonly(self, target: str) -> Iterator[str]:
        yield f"mount -o remount,bind,ro {self._path(target)}"

    def _do_mkdir(self, path: str, mode: int) -> Iterator[str]:
        yield f"mkdir -p -m {mode:o} {self._path(path)}"

    def _do_touch(self, path: str) -> Iterator[str]:
        yield f": > {self._path(path)}"

    def _do_mknod(self, path: str, mode: int, major: int, minor: int) -> Iterator[str]:
        kind = "b" if stat.S_ISBLK(mode) else "c"
        yield f"mknod -m {stat.S_IMODE(mode):o} {self._path(path)} {kind} {major} {minor}"

    def _do_symlink(self, target: str, path: str) -> Iterator[str]:
        yield f"ln -s {shlex.quote(target)} {self._path(path)}"

    def _do_limit_files(self, soft: int, hard: int) -> Iterator[str]:
        yield f"ulimit -Sn {soft}; ulimit -Hn {hard}"

    def _do_limit_core(self, soft: int) -> Iterator[str]:
        yield f"ulimit -Sc {soft}"

    # ---- off it goes ----

    def _start(self) -> Iterator[str]:
        clone = next((one[1] for one in self.done.container if one[0] == "clone"), 0)
        kinds = "--mount --propagation unchanged"
        if clone & syscalls.CLONE_NEWPID:
            kinds += " --pid --fork --kill-child"
        enter = " ".join(
            word for flag, word in _FLAGS[:3]
            if any(one[0] == "unshare" and one[1] & flag for one in self.done.sandbox)
        ) + (" --pid" if self.subject.pid_namespace == "pod" else "")  # fmt: skip
        yield "\n### 5. clone(2) it into the sandbox's namespaces and new ones of its own"
        yield "export RUN NAME ENVIRON ROOT"
        into = f'nsenter --target "$SANDBOX" {enter} -- ' if enter.strip() else ""
        yield f'{into}unshare {kinds} -- bash "$RUN/process.sh" < /dev/null & CONTAINER=$!'
        yield 'echo "$NAME: container started; its cgroups are called $NAME/container" >&2'
        yield 'wait "$CONTAINER"'


def _text(name: str) -> list[str]:
    """The lines of a file beside this one: what does not depend on the container."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
