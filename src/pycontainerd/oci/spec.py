"""Types of the runtime specification 1.3.0: what an OCI runtime is told to run, the file `config.json` of a
bundle.

Members stand in the order in which stock writes them, so that two programs that build the same container
store the same bytes. Members of other operating systems pass through untouched. The values are mutable: a
spec is built by steps that each change it (`building`).
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import field

from pycontainerd.errors import InvalidArgument

VERSION: Final = "1.3.0"
SPEC_TYPE_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS_TYPE_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES_TYPE_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

_T = TypeVar("_T")

SPEC_LIMIT: Final = 16 << 20
"""Bytes of the longest spec that is decoded: no longer one fits into a message."""


class _Part(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Base of all parts: members that have their default aren't written.

    A member that is always written has a `default_factory` of its type instead of a default: msgspec leaves
    out what is equal to a default, but never what a factory other than an empty container makes.
    """


class Box(_Part):
    height: int = field(default_factory=int)
    width: int = field(default_factory=int)


class User(_Part):
    uid: int = field(default_factory=int)
    gid: int = field(default_factory=int)
    umask: int | None = None
    additional_gids: list[int] = []
    username: str = ""


class Capabilities(_Part):
    bounding: list[str] = []
    effective: list[str] = []
    inheritable: list[str] = []
    permitted: list[str] = []
    ambient: list[str] = []


class Rlimit(_Part):
    type: str = field(default_factory=str)
    hard: int = field(default_factory=int)
    soft: int = field(default_factory=int)


class Scheduler(_Part):
    policy: str = field(default_factory=str)
    nice: int = 0
    priority: int = 0
    flags: list[str] = []
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IOPriority(_Part):
    class_: str = field(name="class", default_factory=str)
    priority: int = field(default_factory=int)


class CPUAffinity(_Part):
    initial: str = ""
    final: str = ""


class Process(_Part):
    """The first process of a container, or one more that is executed in it."""

    terminal: bool = False
    console_size: Box | None = None
    user: User = field(default_factory=User)
    args: list[str] = []
    command_line: str = ""
    env: list[str] = []
    cwd: str = field(default_factory=str)
    capabilities: Capabilities | None = None
    rlimits: list[Rlimit] = []
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    selinux_label: str = ""
    io_priority: IOPriority | None = field(name="ioPriority", default=None)
    exec_cpu_affinity: CPUAffinity | None = field(name="execCPUAffinity", default=None)


class Root(_Part):
    path: str = field(default_factory=str)
    readonly: bool = False


class IDMapping(_Part):
    container_id: int = field(name="containerID", default_factory=int)
    host_id: int = field(name="hostID", default_factory=int)
    size: int = field(default_factory=int)


class Mount(_Part):
    destination: str = field(default_factory=str)
    type: str = ""
    source: str = ""
    options: list[str] = []
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []


class Hook(_Part):
    path: str = field(default_factory=str)
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class Hooks(_Part):
    prestart: list[Hook] = []
    create_runtime: list[Hook] = []
    create_container: list[Hook] = []
    start_container: list[Hook] = []
    poststart: list[Hook] = []
    poststop: list[Hook] = []


class DeviceRule(_Part):
    allow: bool = field(default_factory=bool)
    type: str = ""
    major: int | None = None
    minor: int | None = None
    access: str = ""


class Memory(_Part):
    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = field(name="kernelTCP", default=None)
    swappiness: int | None = None
    disable_oom_killer: bool | None = field(name="disableOOMKiller", default=None)
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(_Part):
    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class Pids(_Part):
    limit: int | None = None


class WeightDevice(_Part):
    major: int = field(default_factory=int)
    minor: int = field(default_factory=int)
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(_Part):
    major: int = field(default_factory=int)
    minor: int = field(default_factory=int)
    rate: int = field(default_factory=int)


class BlockIO(_Part):
    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: list[WeightDevice] = []
    throttle_read_bps_device: list[ThrottleDevice] = []
    throttle_write_bps_device: list[ThrottleDevice] = []
    throttle_read_iops_device: list[ThrottleDevice] = field(name="throttleReadIOPSDevice", default_factory=list)
    throttle_write_iops_device: list[ThrottleDevice] = field(name="throttleWriteIOPSDevice", default_factory=list)


class HugepageLimit(_Part):
    page_size: str = field(default_factory=str)
    limit: int = field(default_factory=int)


class InterfacePriority(_Part):
    name: str = field(default_factory=str)
    priority: int = field(default_factory=int)


class Network(_Part):
    class_id: int | None = field(name="classID", default=None)
    priorities: list[InterfacePriority] = []


class Rdma(_Part):
    hca_handles: int | None = None
    hca_objects: int | None = None


class Resources(_Part):
    """Limits of a container's cgroup."""

    devices: list[DeviceRule] = []
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = field(name="blockIO", default=None)
    hugepage_limits: list[HugepageLimit] = []
    network: Network | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}


class Namespace(_Part):
    type: str = field(default_factory=str)
    path: str = ""


class Device(_Part):
    path: str = field(default_factory=str)
    type: str = field(default_factory=str)
    major: int = field(default_factory=int)
    minor: int = field(default_factory=int)
    file_mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class NetDevice(_Part):
    name: str = ""


class SeccompArgument(_Part):
    index: int = field(default_factory=int)
    value: int = field(default_factory=int)
    value_two: int = 0
    op: str = field(default_factory=str)


class SeccompRule(_Part):
    names: list[str] = []
    action: str = field(default_factory=str)
    errno_ret: int | None = None
    args: list[SeccompArgument] = []


class Seccomp(_Part):
    default_action: str = field(default_factory=str)
    default_errno_ret: int | None = None
    architectures: list[str] = []
    flags: list[str] = []
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: list[SeccompRule] = []


class IntelRdt(_Part):
    clos_id: str = field(name="closID", default="")
    schemata: list[str] = []
    l3_cache_schema: str = field(name="l3CacheSchema", default="")
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class MemoryPolicy(_Part):
    mode: str = field(default_factory=str)
    nodes: str = field(default_factory=str)
    flags: list[str] = []


class Personality(_Part):
    domain: str = field(default_factory=str)
    flags: list[str] = []


class TimeOffset(_Part):
    secs: int = 0
    nanosecs: int = 0


class Linux(_Part):
    """What a container is on Linux: namespaces, cgroup, devices, what it may not see."""

    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []
    sysctl: dict[str, str] = {}
    resources: Resources | None = None
    cgroups_path: str = ""
    namespaces: list[Namespace] = []
    devices: list[Device] = []
    net_devices: dict[str, NetDevice] = {}
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    personality: Personality | None = None
    time_offsets: dict[str, TimeOffset] = {}


class Spec(_Part):
    """A container, as `config.json` describes it."""

    version: str = field(name="ociVersion", default_factory=str)
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: list[Mount] = []
    hooks: Hooks | None = None
    annotations: dict[str, str] = {}
    linux: Linux | None = None
    solaris: dict[str, Any] | None = None
    windows: dict[str, Any] | None = None
    vm: dict[str, Any] | None = None
    zos: dict[str, Any] | None = None
    freebsd: dict[str, Any] | None = None

    def the_process(self) -> Process:
        """The process, made if there is none."""
        if self.process is None:
            self.process = Process()
        return self.process

    def the_root(self) -> Root:
        """The root, made if there is none."""
        if self.root is None:
            self.root = Root()
        return self.root

    def the_linux(self) -> Linux:
        """The part for Linux, made if there is none."""
        if self.linux is None:
            self.linux = Linux()
        return self.linux

    def the_resources(self) -> Resources:
        """The limits, made if there are none."""
        linux = self.the_linux()
        if linux.resources is None:
            linux.resources = Resources()
        return linux.resources


def decode(data: bytes, *, name: str = "spec") -> Spec:
    """Reads a spec; members that this version doesn't know are dropped, and `null` means absent, as stock has
    it.

    Raises InvalidArgument, its message begins with *name*.
    """
    return _decode(Spec, data, name)


def decode_process(data: bytes, *, name: str = "process") -> Process:
    """Reads the process of an exec, as `decode` reads a spec."""
    return _decode(Process, data, name)


def decode_seccomp(data: bytes, *, name: str = "profile") -> Seccomp:
    """Reads a seccomp profile in the form of the spec, as `decode` reads a spec."""
    return _decode(Seccomp, data, name)


def _decode(kind: type[_T], data: bytes, name: str) -> _T:
    if len(data) > SPEC_LIMIT:
        raise InvalidArgument(f"{name}: {len(data)} bytes are more than the {SPEC_LIMIT} of a spec")
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{name}: {error}") from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def encode(document: Spec | Process | Resources) -> bytes:
    """The JSON of *document*, byte for byte as stock stores it."""
    if isinstance(document, Spec):
        _sort_maps(document)
    elif isinstance(document, Resources):
        _sort_limits(document)
    return html_escaped(msgspec.json.encode(document))


def _sort_maps(spec: Spec) -> None:
    spec.annotations = dict(sorted(spec.annotations.items()))
    if linux := spec.linux:
        linux.sysctl = dict(sorted(linux.sysctl.items()))
        linux.net_devices = dict(sorted(linux.net_devices.items()))
        linux.time_offsets = dict(sorted(linux.time_offsets.items()))
        if linux.resources:
            _sort_limits(linux.resources)


def _sort_limits(resources: Resources) -> None:
    resources.rdma = dict(sorted(resources.rdma.items()))
    resources.unified = dict(sorted(resources.unified.items()))


_ESCAPES: Final = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def html_escaped(data: bytes) -> bytes:
    """The JSON text *data* with the characters escaped that Go's encoder escapes; they occur in strings only."""
    for character, escape in _ESCAPES:
        if character in data:
            data = data.replace(character, escape)
    return data
