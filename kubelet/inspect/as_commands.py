"""What the runtime did to make a container, as a shell script that does the same by hand.

Room kubelet/inspect; pure. It goes through the operations that runtime/operations.py recorded, in
their order, and has a line of shell for each; the network's commands are those that stand in the
netlink requests. Three scripts in one, as the runtime has three processes: outside (sandbox,
cgroups), the container's own mount namespace (two with a user namespace: its root is made outside
of that), and, once its root is changed and no tool of the host can be reached any more, a few
system calls by python3. All names are the script's own.
"""

from __future__ import annotations

import posixpath
import shlex
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kubelet.inspect import last_steps
from kubelet.network.firewall import host_port_match
from kubelet.network.host_ports import Published
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
    ("map_ids", False): "idmapped: what is root's there is root's inside (mount_setattr(2))",
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
_OF_ROOT = ("unshare", "open_tree")  # with which its first process begins to make its root
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

    def lines(self) -> Iterator[str]:
        everything = [*self.done.sandbox, *self.done.container]
        if any(one[0] == "cut off" for one in everything):
            raise NotRepeatable("too much was done to make this container: the record is cut off")
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
            yield "IFB=hifb$$                 # what it sends goes out by this, if that is limited"
            for port in sorted({one.host_port for one in self.network.ports}):
                name, other = f"PORT_{port}", port % 32768 + 32768
                yield f"{name}=${{{name}:-{other}}}  # of the node, for the live one's {port}"
        else:
            yield "HOST_END=none IFB=none"
        environ = f"/proc/{who.pid}/environ" if who.pid else ""
        yield f"ENVIRON=${{ENVIRON:-{environ}}}  # of the live one; no Secret stands here"
        yield ""
        yield from _text("clean_up.sh")

    # ---- what all containers of the Pod share ----

    def _sandbox(self) -> Iterator[str]:
        yield "\n### 1. The sandbox: the namespaces that the Pod's containers share"
        kinds = _kinds(self._sandbox_flags())
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
            case ("user_namespace", first, length, _):
                yield "# root inside is nobody outside; what the script makes must be its own"
                for name in ("uid_map", "gid_map"):
                    yield f'echo "0 {first} {length}" > "/proc/$SANDBOX/{name}"'
                yield f'chown {first}:{first} "$RUN" "$RUN/tree"'
            case ("chown", path, owner):
                yield f"chown {owner}:{owner} {self._path(path)}"
            case ("inherit_devices", shared):
                yield from self._devices(shared)
            case ("device_program", _):
                yield "# which devices may be opened: a BPF program judges that on cgroup v2, which"
                yield "# no command loads; here every device may that the script may itself open"
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

    def _devices(self, shared: str) -> Iterator[str]:
        """What every process below the launcher has; here a list of its own."""
        own = shlex.quote(posixpath.dirname(posixpath.dirname(shared))) + '/"$NAME"/container'
        yield "# the devices that may be opened are those of all containers of the node"
        yield f"mkdir -p {own}; echo a > {own}/devices.deny"
        yield f'while read -r rule; do echo "$rule" > {own}/devices.allow'
        yield f"done < {shlex.quote(shared)}/devices.list"

    def _sandbox_flags(self) -> int:
        flags = 0
        for one in self.done.sandbox:
            match one:
                case ("unshare", more):
                    flags |= more
                case ("user_namespace", _, _, more):
                    flags |= more | syscalls.CLONE_NEWUSER
        return flags

    def _network(self) -> Iterator[str]:
        if not self.network:
            return
        yield "\n### 2. The network: a veth pair, one end on the node's bridge (rtnetlink)"
        own = self.network
        words = {
            own.address.host_interface: '"$HOST_END"', "NETNS": '"$SANDBOX"',
            own.address.mac: '"$(mac_of "$ADDRESS")"', own.ifb: '"$IFB"',
        }  # fmt: skip
        for command in own.on_host:
            if command[:3] == ("ip", "link", "set") and "alias" in command:
                yield 'ip link set "$HOST_END" alias "$NAME"'
            elif command:
                yield _command(command, words)
        yield 'ip link set "$HOST_END" master "$BRIDGE" up'
        yield 'bridge link set dev "$HOST_END" hairpin on'
        inside = 'nsenter --target "$SANDBOX" --net -- ip'
        name = shlex.quote(own.interface)
        yield f"{inside} link set {name} up"
        yield f'{inside} address replace "$ADDRESS" broadcast + dev {name}'
        gateway = shlex.quote(own.address.gateway)
        yield f"{inside} route replace default via {gateway} dev {name}"
        if own.limits:
            yield "# its bandwidth: what goes to it waits here, what it sends takes a way round"
        for command in own.limits:
            yield _command(command, words)
        if own.ports:
            yield from self._host_ports(own.ports)

    def _host_ports(self, ports: tuple[Published, ...]) -> Iterator[str]:
        yield "# the node's ports that lead to it, others than the live one's (nftables)"
        yield 'nft add table ip "$NAME"'
        yield 'nft add chain ip "$NAME" hostports'
        for one in ports:
            to = f'"${{ADDRESS%/*}}:{one.container_port}"'
            yield " ".join((
                'nft add rule ip "$NAME" hostports', *host_port_match(one),
                one.protocol.lower(), f'dport "$PORT_{one.host_port}" counter dnat to {to}',
            ))  # fmt: skip
        for hook, priority in (("prerouting", "dstnat"), ("output", "-100")):
            chain = f"{{ type nat hook {hook} priority {priority}; }}"
            yield f'nft add chain ip "$NAME" {hook} {shlex.quote(chain)}'
            yield f'nft add rule ip "$NAME" {hook} jump hostports'

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
        yield 'exec 9< "${ENVIRON:-/dev/null}"'
        for one in self.done.container:
            if one[0] == "inherit_devices":
                place = posixpath.dirname(posixpath.dirname(one[1]))
                yield f'echo 0 > {shlex.quote(place)}/"$NAME"/container/cgroup.procs'
        kinds = [one[0] for one in done]
        index = next((n for n, kind in enumerate(kinds) if kind in _OF_ROOT), len(done))
        for one in done[:index]:
            yield from self._joining(one)
        if "unshare" in kinds[index:]:
            yield "# unshare(CLONE_NEWCGROUP): from now on these cgroups are the root that it sees"
            yield 'exec unshare --cgroup -- bash "$RUN/root.sh"'
        else:
            yield 'exec bash "$RUN/root.sh"'
        yield "PROCESS"
        yield ""
        yield "cat > \"$RUN/root.sh\" <<'ROOT'"
        yield from _text("root.sh")
        if self._sandbox_flags() & syscalls.CLONE_NEWUSER:
            yield from _text("map_ids.sh")
        for one in done[index:]:
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
                if own := self._cgroup_path(path):
                    yield f"echo 0 > {own}"
                else:
                    yield f"# {path}: every device may be opened, as everywhere above"
            case ("write", "/proc/self/oom_score_adj", value):
                words = f'echo "oom_score_adj {value} is not allowed here" >&2'
                yield f"echo {value} > /proc/self/oom_score_adj || {words}"

    def _inside(self, one: Operation) -> Iterator[str]:
        name, *args = one
        comment = _COMMENTS.get((name, self._is_inside)) if args[1:2] != ["."] else None
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
        if path == ".":
            self._trees[fd] = "root"
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
        elif tree == "root":
            yield "# the copy of it is not locked to where it is, and so can become /"
            yield 'mount --rbind "$ROOT" "$ROOT"'
        elif tree.startswith("mount "):
            yield f"{tree} {self._path(target)}"
        elif tree and self._is_inside:
            yield f"give {tree} {self._path(target)}"
        elif tree:
            yield f"mount --move -- {tree} {shlex.quote(target)}"

    def _do_new_mount(self, fd: int, kind: str, attributes: int) -> Iterator[str]:
        said = ",".join(word for flag, word in _OPTIONS if attributes & flag)  # the same numbers
        self._trees[fd] = f"mount -t {kind} -o {said} {kind}"
        yield from ()

    def _do_map_ids(self, fd: int) -> Iterator[str]:
        if tree := self._trees.get(fd):
            yield f"map_ids {tree}"

    def _do_chroot(self, _: str) -> Iterator[str]:
        if not self._is_inside:
            self._is_inside = True
            yield "# ---- its root: what the runtime mounts as the host's root, below chroot(2)"

    def _do_clone(self, flags: int) -> Iterator[str]:
        """Once more, for a user namespace: with a copy of the mounts, which the kernel locks."""
        kinds = f"--mount --propagation unchanged {_kinds(flags)} --fork --kill-child"
        yield "# ---- from here on as root of the user namespace, who is nobody outside"
        enter = 'exec nsenter --target "$SANDBOX" --user --'
        yield f'{enter} unshare {kinds} -- bash "$RUN/inside.sh"'
        yield "ROOT"
        yield ""
        yield "cat > \"$RUN/inside.sh\" <<'ROOT'"
        yield from _text("root.sh")

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
        if not self._is_inside:
            yield "# ---- its root: what the runtime mounts after pivot_root(2)"
        self._is_inside = True

    def _do_remount_readonly(self, target: str) -> Iterator[str]:
        yield f"mount -o remount,bind,ro {self._path(target)}"

    def _do_mkdir(self, path: str, mode: int) -> Iterator[str]:
        yield f"mkdir -p -m {mode:o} {self._path(path)}"

    def _do_chown(self, path: str, owner: int) -> Iterator[str]:
        yield f"chown -h {owner}:{owner} {self._path(path)}"

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
        enter = _kinds(self._sandbox_flags() & ~syscalls.CLONE_NEWUSER)
        enter += " --pid" if self.subject.pid_namespace == "pod" else ""
        yield "\n### 5. clone(2) it into the sandbox's namespaces and new ones of its own"
        yield "export RUN NAME ENVIRON ROOT SANDBOX"
        into = f'nsenter --target "$SANDBOX" {enter} -- ' if enter.strip() else ""
        yield f'{into}unshare {kinds} -- bash "$RUN/process.sh" < /dev/null & CONTAINER=$!'
        yield 'echo "$NAME: container started; its cgroups are called $NAME/container" >&2'
        yield 'wait "$CONTAINER"'


def _command(command: tuple[str, ...], words: dict[str, str]) -> str:
    return " ".join(words.get(word, shlex.quote(word)) for word in command)


def _kinds(flags: int) -> str:
    """ "--ipc --net": of namespaces, as unshare(1) and nsenter(1) call them."""
    return " ".join(word for flag, word in _FLAGS if flags & flag)


def _text(name: str) -> list[str]:
    """The lines of a file beside this one: what does not depend on the container."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
