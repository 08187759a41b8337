"""What a node can be told: a KubeletConfiguration, in Kubernetes' own form.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    maxPods: 20
    evictionHard: {memory.available: 500Mi}

Room kubelet; read once by agent.py from `<node dir>/kubelet.yaml`, which `podium up
--kubelet-config FILE` puts there. A field that does not exist is refused, and so is one that
exists in Kubernetes and does nothing here: nobody shall believe in a setting that is not acted on.
Source: Kubernetes' `kubelet/config/v1beta1` and `pkg/kubelet/apis/config/validation`, v1.32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kubelet import sysctls, thresholds
from kubelet.thresholds import Threshold
from podium.api import quantity

Object = dict[str, Any]

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
FILE_NAME = "kubelet.yaml"  # in a node's directory
SWAP_BEHAVIORS = ("NoSwap", "LimitedSwap")
RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")


class ConfigurationError(ValueError):
    """The file cannot be used; says all that is wrong with it, a line each."""


@dataclass(frozen=True)
class ShutdownStep:
    """Pods of this priority and above (up to the next step's) get `grace_s` at a shutdown."""

    priority: int
    grace_s: float


@dataclass(frozen=True)
class KubeletConfiguration:
    """A node's settings, with this kubelet's defaults: Kubernetes' own, but where a comment says
    otherwise."""

    # Pods
    max_pods: int = 250  # Kubernetes: 110
    pod_pids_limit: int = 1024  # -1: none, which is Kubernetes' default
    static_pod_path: str = ""
    file_check_frequency_s: float = 20.0
    allowed_unsafe_sysctls: tuple[str, ...] = ()  # names, or prefixes that end in "*"
    seccomp_default: bool = True  # Kubernetes: false
    max_restart_backoff_s: float = 300.0  # crashLoopBackOff.maxContainerRestartPeriod
    # Resources
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    enforce_node_allocatable: tuple[str, ...] = ("pods",)
    memory_swap_behavior: str = "NoSwap"  # memorySwap.swapBehavior
    # Eviction
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: thresholds.DEFAULT_HARD)
    eviction_soft: Mapping[str, str] = field(default_factory=dict)
    eviction_soft_grace_s: Mapping[str, float] = field(default_factory=dict)
    eviction_minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    eviction_pressure_transition_s: float = 300.0
    eviction_max_pod_grace_s: int = 0
    # Images
    image_gc_high_threshold_percent: int = 85
    image_gc_low_threshold_percent: int = 80
    image_minimum_gc_age_s: float = 120.0
    image_maximum_gc_age_s: float = 0.0  # 0: images are not removed for their age
    serialize_image_pulls: bool = False  # Kubernetes: true
    max_parallel_image_pulls: int | None = None  # None: as many as there are
    registry_pull_qps: int = 5
    registry_burst: int = 10
    node_status_max_images: int = 50  # -1: all
    # Logs
    container_log_max_bytes: int = 10 * 1024 * 1024
    container_log_max_files: int = 5
    container_log_monitor_interval_s: float = 10.0
    # Names
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"  # "": Pods do not get the node's
    # The end of the node
    shutdown_grace_s: float = 0.0
    shutdown_grace_critical_s: float = 0.0  # of that, for critical Pods
    shutdown_grace_by_priority: tuple[ShutdownStep, ...] = ()
    # The Node object
    node_status_update_frequency_s: float = 10.0
    node_status_report_frequency_s: float = 300.0
    node_lease_duration_s: int = 40
    register_with_taints: tuple[Object, ...] = ()

    def thresholds(self) -> tuple[Threshold, ...]:
        """Hard and soft ones; raises ThresholdError."""
        return thresholds.parse_thresholds(
            self.eviction_hard,
            self.eviction_soft,
            self.eviction_soft_grace_s,
            self.eviction_minimum_reclaim,
        )


def load(node_dir: Path) -> KubeletConfiguration:
    """A node's settings; the defaults where there is no file. Raises ConfigurationError."""
    path = node_dir / FILE_NAME
    try:
        text = path.read_text()
    except FileNotFoundError:
        return KubeletConfiguration()
    return parse(text, str(path))


def parse(text: str, path: str) -> KubeletConfiguration:
    """YAML or JSON; an empty text is the defaults. Raises ConfigurationError, which names `path`
    and every problem."""
    import yaml

    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as failure:
        raise ConfigurationError(f"{path}: not YAML: {failure}") from None
    if found is None:
        return KubeletConfiguration()
    problems: list[str] = []
    settings = _read(found, problems)
    problems += [] if problems else _contradictions(settings)
    if problems:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    return settings


# ---- field by field -----------------------------------------------------------------------------

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def duration_s(value: Any) -> float:
    """ "1m30s" → 90.0, in Go's form; raises ValueError."""
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError(f"{value!r} is not a duration such as 1m30s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))


def _typed(type_: type, name: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not type_:
            raise ValueError(f"{value!r} is not {name}")
        return value

    return read


_boolean = _typed(bool, "true or false")
_integer = _typed(int, "an integer")
_text = _typed(str, "a string")


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{value!r} is not a list of strings")
    return tuple(value)


def _map_of(read: Callable[[Any], Any]) -> Callable[[Any], Object]:
    def read_map(value: Any) -> Object:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is not a map")
        return {str(key): read(one) for key, one in value.items()}

    return read_map


def _scalar_text(value: Any) -> str:
    """A quantity: YAML reads 5 as a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a quantity")
    return str(value)


def _bytes(value: Any) -> int:
    return quantity.memory_bytes(_scalar_text(value))


def _shutdown_steps(value: Any) -> tuple[ShutdownStep, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"{value!r} is not a list of priorities with seconds")
    for one in value:
        if unknown := one.keys() - {"priority", "shutdownGracePeriodSeconds"}:
            raise ValueError(f'unknown field "{min(unknown)}"')
    steps = [
        ShutdownStep(
            _integer(one.get("priority", 0)), float(_integer(one["shutdownGracePeriodSeconds"]))
        )
        for one in value
        if "shutdownGracePeriodSeconds" in one
    ]
    return tuple(sorted(steps, key=lambda step: step.priority))


def _taints(value: Any) -> tuple[Object, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list of taints")
    for taint in value:
        if not isinstance(taint, dict) or not taint.get("key") or not taint.get("effect"):
            raise ValueError(f"{taint!r} is not a taint with key and effect")
        if unknown := taint.keys() - {"key", "value", "effect"}:
            raise ValueError(f'unknown field "{min(unknown)}"')
    return tuple(value)


# Wire name → attribute and reader. A dot stands for a field inside a struct.
_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "maxPods": ("max_pods", _integer),
    "podPidsLimit": ("pod_pids_limit", _integer),
    "staticPodPath": ("static_pod_path", _text),
    "fileCheckFrequency": ("file_check_frequency_s", duration_s),
    "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", _texts),
    "seccompDefault": ("seccomp_default", _boolean),
    "crashLoopBackOff.maxContainerRestartPeriod": ("max_restart_backoff_s", duration_s),
    "kubeReserved": ("kube_reserved", _map_of(_scalar_text)),
    "systemReserved": ("system_reserved", _map_of(_scalar_text)),
    "enforceNodeAllocatable": ("enforce_node_allocatable", _texts),
    "memorySwap.swapBehavior": ("memory_swap_behavior", _text),
    "evictionHard": ("eviction_hard", _map_of(_scalar_text)),
    "evictionSoft": ("eviction_soft", _map_of(_scalar_text)),
    "evictionSoftGracePeriod": ("eviction_soft_grace_s", _map_of(duration_s)),
    "evictionMinimumReclaim": ("eviction_minimum_reclaim", _map_of(_scalar_text)),
    "evictionPressureTransitionPeriod": ("eviction_pressure_transition_s", duration_s),
    "evictionMaxPodGracePeriod": ("eviction_max_pod_grace_s", _integer),
    "imageGCHighThresholdPercent": ("image_gc_high_threshold_percent", _integer),
    "imageGCLowThresholdPercent": ("image_gc_low_threshold_percent", _integer),
    "imageMinimumGCAge": ("image_minimum_gc_age_s", duration_s),
    "imageMaximumGCAge": ("image_maximum_gc_age_s", duration_s),
    "serializeImagePulls": ("serialize_image_pulls", _boolean),
    "maxParallelImagePulls": ("max_parallel_image_pulls", _integer),
    "registryPullQPS": ("registry_pull_qps", _integer),
    "registryBurst": ("registry_burst", _integer),
    "nodeStatusMaxImages": ("node_status_max_images", _integer),
    "containerLogMaxSize": ("container_log_max_bytes", _bytes),
    "containerLogMaxFiles": ("container_log_max_files", _integer),
    "containerLogMonitorInterval": ("container_log_monitor_interval_s", duration_s),
    "clusterDNS": ("cluster_dns", _texts),
    "clusterDomain": ("cluster_domain", _text),
    "resolvConf": ("resolv_conf", _text),
    "shutdownGracePeriod": ("shutdown_grace_s", duration_s),
    "shutdownGracePeriodCriticalPods": ("shutdown_grace_critical_s", duration_s),
    "shutdownGracePeriodByPodPriority": ("shutdown_grace_by_priority", _shutdown_steps),
    "nodeStatusUpdateFrequency": ("node_status_update_frequency_s", duration_s),
    "nodeStatusReportFrequency": ("node_status_report_frequency_s", duration_s),
    "nodeLeaseDurationSeconds": ("node_lease_duration_s", _integer),
    "registerWithTaints": ("register_with_taints", _taints),
}
_STRUCTS = {name.partition(".")[0] for name in _FIELDS if "." in name}
_MERGE_DEFAULTS = "mergeDefaultEvictionSettings"
# Kubernetes knows these too; here nothing would come of them.
_KNOWN_ELSEWHERE = frozenset(
    re.findall(
        r"\w+",
        """
        address authentication authorization cgroupDriver cgroupRoot cgroupsPerQOS
        configMapAndSecretChangeDetectionStrategy containerLogMaxWorkers
        containerRuntimeEndpoint contentType cpuCFSQuota cpuCFSQuotaPeriod cpuManagerPolicy
        cpuManagerPolicyOptions cpuManagerReconcilePeriod enableContentionProfiling
        enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
        enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery
        eventBurst eventRecordQPS failCgroupV1 failSwapOn featureGates hairpinMode
        healthzBindAddress healthzPort httpCheckFrequency imageServiceEndpoint iptablesDropBit
        iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeletCgroups
        kubeReservedCgroup localStorageCapacityIsolation logging makeIPTablesUtilChains
        maxOpenFiles memoryManagerPolicy memoryThrottlingFactor oomScoreAdj podCIDR podLogsDir
        podsPerCore port protectKernelDefaults providerID qosReserved readOnlyPort registerNode
        reservedMemory reservedSystemCPUs rotateCertificates runOnce runtimeRequestTimeout
        serverTLSBootstrap showHiddenMetricsForVersion singleProcessOOMKill staticPodURL
        staticPodURLHeader streamingConnectionIdleTimeout syncFrequency systemCgroups
        systemReservedCgroup tlsCertFile tlsCipherSuites tlsMinVersion tlsPrivateKeyFile
        topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing
        volumePluginDir volumeStatsAggPeriod
        """,
    )
)


def _read(found: Any, problems: list[str]) -> KubeletConfiguration:
    if not isinstance(found, dict):
        problems.append(f"a {KIND} is a map of fields")
        return KubeletConfiguration()
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if found.get(name) != wanted:
            problems.append(f"{name} must be {wanted}, not {found.get(name)!r}")
    values: Object = {}
    flat = _flat({k: v for k, v in found.items() if k not in ("apiVersion", "kind")})
    is_merging = flat.pop(_MERGE_DEFAULTS, False) is True
    for name, value in flat.items():
        if name not in _FIELDS:
            is_known = name.partition(".")[0] in _KNOWN_ELSEWHERE
            problems.append(
                f'field "{name}" is not supported by this kubelet' if is_known
                else f'strict decoding error: unknown field "{name}"'
            )  # fmt: skip
        elif value is not None:
            attribute, read = _FIELDS[name]
            try:
                values[attribute] = read(value)
            except (ValueError, KeyError) as failure:
                problems.append(f"{name}: {failure}")
    if is_merging and "eviction_hard" in values:
        values["eviction_hard"] = {**thresholds.DEFAULT_HARD, **values["eviction_hard"]}
    return KubeletConfiguration(**values)


def _flat(found: Object) -> Object:
    """Structs opened: {"memorySwap": {"swapBehavior": x}} → {"memorySwap.swapBehavior": x}."""
    flat: Object = {}
    for name, value in found.items():
        if name in _STRUCTS and isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


# ---- what does not go together ------------------------------------------------------------------


def _contradictions(c: KubeletConfiguration) -> list[str]:
    """In Kubernetes' words where it has some."""
    high, low = c.image_gc_high_threshold_percent, c.image_gc_low_threshold_percent
    rules = [
        (c.max_pods >= 0, f"maxPods (--max-pods) {c.max_pods} must not be a negative number"),
        (
            c.pod_pids_limit == -1 or c.pod_pids_limit > 0,
            f"podPidsLimit {c.pod_pids_limit} must be -1 (no limit) or a positive number",
        ),
        (
            0 <= high <= 100,
            f"imageGCHighThresholdPercent (--image-gc-high-threshold) {high} must be between 0 "
            "and 100, inclusive",
        ),
        (
            0 <= low <= 100,
            f"imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be between 0 and "
            "100, inclusive",
        ),
        (
            low < high,
            f"imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than "
            f"imageGCHighThresholdPercent (--image-gc-high-threshold) {high}",
        ),
        (
            c.image_maximum_gc_age_s == 0 or c.image_maximum_gc_age_s > c.image_minimum_gc_age_s,
            "imageMaximumGCAge must be greater than imageMinimumGCAge",
        ),
        (
            c.max_parallel_image_pulls is None or c.max_parallel_image_pulls > 0,
            f"maxParallelImagePulls {c.max_parallel_image_pulls} must be a positive number",
        ),
        (
            not c.serialize_image_pulls or (c.max_parallel_image_pulls or 1) == 1,
            "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls "
            "(--serialize-image-pulls) is set to false",
        ),
        (
            c.registry_pull_qps >= 0,
            f"registryPullQPS (--registry-qps) {c.registry_pull_qps} must not be a negative number",
        ),
        (
            c.registry_burst >= 0,
            f"registryBurst (--registry-burst) {c.registry_burst} must not be a negative number",
        ),
        (
            c.container_log_max_bytes > 0,
            f"containerLogMaxSize {c.container_log_max_bytes} must be a positive quantity",
        ),
        (
            c.container_log_max_files > 1,
            f"containerLogMaxFiles {c.container_log_max_files} must be greater than 1",
        ),
        (
            c.container_log_monitor_interval_s >= 3,
            "containerLogMonitorInterval must be a positive time duration greater than or equal "
            "to 3s",
        ),
        (
            c.memory_swap_behavior in SWAP_BEHAVIORS,
            f'memorySwap.swapBehavior "{c.memory_swap_behavior}" must be one of: "", '
            '"LimitedSwap" or "NoSwap"',
        ),
        (
            c.node_status_max_images >= -1,
            f"nodeStatusMaxImages (--node-status-max-images) {c.node_status_max_images} must be "
            "-1 or greater",
        ),
        (
            c.node_lease_duration_s > 0,
            f"nodeLeaseDurationSeconds {c.node_lease_duration_s} must be greater than 0",
        ),
        (
            c.eviction_max_pod_grace_s >= 0,
            f"evictionMaxPodGracePeriod {c.eviction_max_pod_grace_s} must not be negative",
        ),
        (
            1 <= c.max_restart_backoff_s <= 300,
            "CrashLoopBackOff.MaxContainerRestartPeriod must be between 1s and 300s",
        ),
        *_shutdown_rules(c),
    ]
    problems = [f"invalid configuration: {words}" for is_fine, words in rules if not is_fine]
    problems += filter(None, map(sysctls.pattern_problem, c.allowed_unsafe_sysctls))
    return problems + _reserved_problems(c) + _threshold_problems(c)


def _shutdown_rules(c: KubeletConfiguration) -> list[tuple[bool, str]]:
    whole, critical = c.shutdown_grace_s, c.shutdown_grace_critical_s
    is_by_priority = bool(c.shutdown_grace_by_priority)
    rules = [
        (
            whole >= critical,
            f"shutdownGracePeriodCriticalPods {critical:g}s must be <= shutdownGracePeriod "
            f"{whole:g}s",
        ),
        (
            not is_by_priority or (whole == critical == 0),
            "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the "
            "same time",
        ),
    ]
    for name, seconds in (("", whole), ("CriticalPods", critical)):
        words = f"shutdownGracePeriod{name} {seconds:g}s must be either zero or otherwise >= 1 sec"
        rules.append((seconds == 0 or seconds >= 1, words))
    return rules


def _reserved_problems(c: KubeletConfiguration) -> list[str]:
    problems = []
    for name, reserved in (
        ("kubeReserved", c.kube_reserved),
        ("systemReserved", c.system_reserved),
    ):
        for resource, text in reserved.items():
            if resource not in RESERVABLE:
                problems.append(f'{name}: cannot reserve "{resource}" resource')
                continue
            try:
                if quantity.parse(text) < 0:
                    problems.append(f"{name}: reserved {resource} must not be negative: {text}")
            except ValueError as failure:
                problems.append(f"{name}: {resource}: {failure}")
    for level in c.enforce_node_allocatable:
        if level in ("kube-reserved", "system-reserved"):
            problems.append(
                f'enforceNodeAllocatable: "{level}" is not supported: this kubelet puts its own '
                "processes into no cgroup"
            )
        elif level not in ("pods", "none"):
            problems.append(
                f'invalid configuration: option "{level}" specified for enforceNodeAllocatable '
                '(--enforce-node-allocatable). Valid options are "pods", "system-reserved", '
                '"kube-reserved" and "none"'
            )
    return problems


def _threshold_problems(c: KubeletConfiguration) -> list[str]:
    try:
        c.thresholds()
    except thresholds.ThresholdError as failure:
        return [str(failure)]
    return []


assert {attribute for attribute, _ in _FIELDS.values()} == {
    one.name for one in fields(KubeletConfiguration)
}, "a setting without a field, or a field without a setting"
