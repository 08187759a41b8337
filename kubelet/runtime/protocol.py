"""What a container engine must offer the kubelet: a small Protocol in the shape of the CRI.

The kubelet (threads, HTTP, Pods) talks to an engine only through `Runtime`. Podium's own engine is
`kubelet.runtime.client.PodiumRuntime`; `tests/support/fake_runtime.py` is the fake one, and the
same contract tests run against both. Times are seconds since the epoch (float), sizes bytes.

Terms: a *sandbox* is what containers of one Pod share (network, IPC and UTS namespaces, a cgroup
parent, a shim process); a *container* is a process in mount and cgroup namespaces of its own, and
PID 1 of its own PID namespace unless it is put into another one.
Source of the shape: Kubernetes CRI `runtime/v1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

ContainerState = Literal["created", "running", "exited"]
SandboxState = Literal["ready", "not_ready"]
PidNamespace = Literal["container", "pod", "node", "target"]
EventKind = Literal["container_started", "container_exited", "sandbox_exited"]


@dataclass(frozen=True)
class IoLimit:
    """How much a cgroup may read from and write to one block device in a second; 0 = no limit."""

    major: int  # of the whole device: the kernel takes no partition
    minor: int
    read_bps: int = 0
    write_bps: int = 0
    read_iops: int = 0
    write_iops: int = 0


@dataclass(frozen=True)
class Resources:
    """Limits of one cgroup; None or an empty value leaves the kernel's default, and so does 0
    unless something else is said.

    cpu_shares uses cgroup v1's scale (2–262144, 1 CPU = 1024); the v2 driver converts it to
    cpu.weight (1–10000) the way the OCI runtimes do. cpu_quota_us is per cpu_period_us.
    swap_bytes comes on top of memory_bytes; 0 is no swap, and so is None with a memory limit.
    memory_soft_bytes 0 keeps nothing back. hugepages are pairs of the kernel's name of a size and
    bytes: ("2MB", 4194304); 0 bytes is a limit there.
    Asking for what the kernel has no controller for raises HostUnsupported.
    """

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None  # −1: no limit, whatever there was before
    cpu_period_us: int = 100_000
    cpuset_cpus: str = ""  # the CPUs to run on: "0-1,3"
    memory_bytes: int | None = None
    memory_soft_bytes: int | None = None  # kept back from reclaim as long as others have more
    swap_bytes: int | None = None
    pids: int | None = None
    io: tuple[IoLimit, ...] = ()
    io_weight: int | None = None  # 1–1000, of 100 when nothing is said
    io_of_sandbox: bool = False  # a container without limits of its own in a sandbox that has some
    hugepages: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Device:
    """A device node made in a container, and what may be done with it there.

    `path` is the container's ("/dev/xvda"), major and minor are the host's; `permissions` are of
    the letters r, w and m (read, write, make nodes), `mode` the node's own.
    """

    path: str
    type: Literal["b", "c"]
    major: int
    minor: int
    permissions: str = "rwm"
    mode: int = 0o660


@dataclass(frozen=True)
class IdMapping:
    """Users and groups 0 … length-1 of a user namespace are first_host_id … outside."""

    first_host_id: int
    length: int = 65_536


@dataclass(frozen=True)
class SandboxConfig:
    """A sandbox to make. `cgroup_parent` is relative to the node's root cgroup, e.g.
    "kubepods/burstable/pod<uid>"; the runtime creates it with `resources`. With `user_namespace`
    its containers are in a user namespace that owns all their other namespaces; none of those may
    be the host's then."""

    id: str  # the Pod's uid
    hostname: str
    cgroup_parent: str
    resources: Resources = Resources()
    host_network: bool = False
    host_ipc: bool = False
    user_namespace: IdMapping | None = None
    shares_pid: bool = False  # it has a PID namespace for containers with pid_namespace "pod"
    sysctls: dict[str, str] = field(default_factory=dict)  # {"net.ipv4.tcp_syncookies": "1"}
    labels: dict[str, str] = field(default_factory=dict)  # kept and given back, never read


@dataclass(frozen=True)
class Mount:
    """A bind mount into a container. `source` exists already; `target` is made in the rootfs.

    In a user namespace its files shall belong to the same ids inside as outside, by an idmapped
    mount. `ids` says what happens on a file system that offers none: "mapped": the container is
    refused; "private": the files are this sandbox's alone and are given to the ids that it has
    outside; "any": their owner is nobody inside.

    `readonly` is of the mount itself; with `is_recursive` also of what is mounted below it.
    `propagation` is man 7 mount_namespaces': with "slave" what the host mounts below `source` later
    is seen in the container, with "shared" also the other way round.
    """

    source: str
    target: str
    readonly: bool = False
    ids: Literal["mapped", "private", "any"] = "mapped"
    is_recursive: bool = False
    propagation: Literal["private", "slave", "shared"] = "private"


@dataclass(frozen=True)
class ContainerConfig:
    """A container to make.

    `lower_dirs` are the read-only overlay layers, lowest first; empty means the image `host`: a
    private skeleton root with the host's /usr bound read-only. `env` is the complete environment.
    `capabilities` is the complete permitted set by name ("CAP_CHOWN", …). `pid_namespace` is CRI's
    NamespaceMode: the container's own, the sandbox's (`shares_pid`), the node's, or that of the
    running container `pid_target_id` of the same sandbox. Only one of its own ends as a whole with
    its first process; in the others what that leaves behind is killed.
    """

    name: str
    attempt: int  # restart count: 0 for the first container of that name in its sandbox
    argv: list[str]
    env: dict[str, str]
    cwd: str
    log_path: str  # CRI log format: "<RFC 3339 nano> stdout|stderr F|P <line>\n"
    lower_dirs: list[str] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)  # beside those that every container has
    uid: int = 0
    gid: int = 0
    groups: list[int] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    no_new_privileges: bool = False
    unmasked_proc: bool = False  # nothing hidden or read-only; only for a user namespace
    seccomp: str = ""  # a classic BPF program (`man 2 seccomp`) in base64; "" = none
    seccomp_profile: str = ""  # what that was made from: "RuntimeDefault" or a file of the node
    apparmor_profile: str = ""  # the kernel's name of it; "" = none
    readonly_rootfs: bool = False
    privileged: bool = False
    stdin: bool = False  # else it reads /dev/null
    stdin_once: bool = False  # without a tty, its stdin ends with the first attached one
    tty: bool = False
    pid_namespace: PidNamespace = "container"
    pid_target_id: str = ""  # of "target"
    resources: Resources = Resources()
    oom_score_adj: int = 0
    stop_signal: int = 15
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SandboxStatus:
    """`shim_pid` is in the sandbox's network, IPC and UTS namespaces, so `netns_path`
    ("/proc/<shim_pid>/ns/net") is how the network room reaches it."""

    id: str
    state: SandboxState
    shim_pid: int
    netns_path: str
    created_at: float
    labels: dict[str, str]


@dataclass(frozen=True)
class ContainerStatus:
    """exit_code is 128+N after signal N. reason: "Completed", "Error", "OOMKilled", "StartError"
    (never ran: exit_code 126, 127 or 128 and `message` says why) or "" while not exited."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    pid: int  # on the host; 0 = not running
    created_at: float
    started_at: float  # 0.0 = not yet
    finished_at: float  # 0.0 = not yet
    exit_code: int
    reason: str
    message: str
    log_path: str
    labels: dict[str, str]
    engine: str = "podium"  # in front of the id where Kubernetes shows it: "podium://…"


@dataclass(frozen=True)
class Operations:
    """How a container came about, in order: each a tuple of a name and what it was done with
    (`kubelet.runtime.operations`). `directory` holds its upper layer, `shm_dir` is its /dev/shm,
    `cgroup_parent` its sandbox's cgroup."""

    sandbox: list[tuple[Any, ...]]
    container: list[tuple[Any, ...]]
    directory: str
    shm_dir: str
    cgroup_parent: str


@dataclass(frozen=True)
class DeviceIo:
    """What was read from and written to one block device."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True)
class Pressure:
    """The share of time in which some, or all, tasks waited: averages over 10, 60 and 300 s in
    percent, and the sum in microseconds (kernel: `accounting/psi.rst`)."""

    some: tuple[float, float, float, int]
    full: tuple[float, float, float, int]


@dataclass(frozen=True)
class ContainerStats:
    """The kernel's accounts of one cgroup and all below it: a container's, or a whole sandbox's.

    0 where the kernel does not count. A limit is None where there is none. "Available" memory is
    the limit less the working set. Pressure is None where the kernel does not measure it, which is
    everywhere on cgroup v1.
    """

    cpu_usage_ns: int
    memory_usage_bytes: int
    memory_working_set_bytes: int  # usage without the page cache that would be dropped first
    pids: int
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    cpu_periods: int = 0  # of the CPU limit, that have passed
    cpu_throttled_periods: int = 0
    cpu_throttled_ns: int = 0
    memory_limit_bytes: int | None = None
    memory_peak_bytes: int = 0
    memory_rss_bytes: int = 0
    memory_cache_bytes: int = 0
    memory_mapped_file_bytes: int = 0
    memory_limit_hits: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    swap_usage_bytes: int = 0
    swap_limit_bytes: int | None = None
    pids_limit: int | None = None
    io: tuple[DeviceIo, ...] = ()
    cpu_pressure: Pressure | None = None
    memory_pressure: Pressure | None = None
    io_pressure: Pressure | None = None


@dataclass(frozen=True)
class RuntimeEvent:
    kind: EventKind
    sandbox_id: str
    container_id: str = ""  # "" for sandbox events


class ExecSession(Protocol):
    """A process started in a running container. The caller owns the other ends of the fds.

    `attach` gives one too: there `pid` is the container's own, `wait` gives 0 when the container
    has ended or there is no more to come, 1 when the caller did not read fast enough and was let
    go, `resize` is for the container's terminal, and `kill` detaches.
    """

    pid: int

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code (128+N after signal N); raises TimeoutError."""

    def resize(self, width: int, height: int) -> None:
        """Tell a TTY its new size; a no-op without one."""

    def kill(self) -> None:
        """SIGKILL the process and what it has started; safe to call twice."""


OnStep = Callable[[str, float, float], None]  # name, began, ended


def no_step(_name: str, _began: float, _ended: float) -> None:
    """Nobody wants to know."""


class Runtime(Protocol):
    """Every call may be repeated: making what exists returns it, removing what is gone is fine.
    Failures are `kubelet.runtime.errors.RuntimeFailure` and its children."""

    version: str  # as a Node shows it: "podium://0.1.0"
    has_user_namespaces: bool  # whether a sandbox may have one
    has_recursive_read_only: bool  # whether a Mount may be `is_recursive`
    on_step: OnStep  # told, by the thread that calls, what creating and starting consist of

    def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus: ...
    def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Kill every container left in it and end the shim; it stays listed as not_ready."""

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """Stop it if need be, then remove all that was made for it: cgroups, mounts, files."""

    def list_pod_sandboxes(self) -> list[SandboxStatus]: ...
    def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        """The new container's id (64 hex digits). Root and mounts are set up, nothing runs yet."""

    def start_container(self, container_id: str) -> ContainerStatus:
        """Let it exec. A command that cannot be run ends as exited with reason StartError."""

    def stop_container(self, container_id: str, grace_s: float) -> None:
        """Its stop signal, then SIGKILL after grace_s; returns once it has exited."""

    def remove_container(self, container_id: str) -> None:
        """Kill if need be and remove root, cgroup and record; the log file stays."""

    def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]: ...
    def container_status(self, container_id: str) -> ContainerStatus: ...
    def exec(
        self,
        container_id: str,
        argv: list[str],
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
        tty: bool = False,
    ) -> ExecSession:
        """Start argv with those fds as 0, 1, 2 (None = /dev/null). With tty, stdin_fd is one end of
        a socketpair that carries the terminal both ways. Raises CommandNotFound or
        CommandNotExecutable when argv[0] cannot be run."""

    def attach(
        self,
        container_id: str,
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
    ) -> ExecSession:
        """Give what the container writes from now on to those fds as well, and what comes from
        stdin_fd to its stdin. The container never waits for a reader: one whose pipe is full is let
        go. At the end of stdin_fd the container's stdin ends too (`stdin_once` without a tty), else
        the session does. stdin_fd is ignored if the container has no stdin."""

    def reopen_log(self, container_id: str) -> None:
        """After rotation: write on in a new file at the container's log_path."""

    def update_resources(self, container_id: str, resources: Resources) -> None: ...
    def update_sandbox_resources(self, sandbox_id: str, resources: Resources) -> None:
        """What all containers of a ready sandbox may use together."""

    def container_resources(self, container_id: str) -> Resources:
        """cpu_shares and the limits of cpu and memory of a running container, as the kernel has
        them; cgroup v2 keeps shares only roughly."""

    def sandbox_resources(self, sandbox_id: str) -> Resources:
        """The same of a ready sandbox."""

    def container_stats(self, container_id: str) -> ContainerStats:
        """Of a running container, read from the kernel (well below a millisecond)."""

    def sandbox_stats(self, sandbox_id: str) -> ContainerStats:
        """Of all containers of a ready sandbox together, those that have ended included."""

    def writable_layer(self, container_id: str) -> str:
        """The directory of what a container has written to its root; "" if the engine hides it."""

    def operations(self, container_id: str) -> Operations | None:
        """What was done to make its sandbox and it; None from an engine that does not tell, or of
        what an earlier version has made."""

    def events(self) -> Iterator[RuntimeEvent]:
        """What happens from this call on; `next` blocks, and it ends when the runtime is closed.
        Whoever calls it has a feed of their own. Events are lost over a restart of the kubelet:
        call this, then list, then follow."""

    def close(self) -> None: ...
