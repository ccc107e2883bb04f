"""The sections of config.toml of stock's plugins whose place in this package is not built yet.

A section moves beside its plugin when that is built; until then its keys are known, checked and printed.
"""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import field

from pycontainerd.config.duration import Duration
from pycontainerd.config.section import Section
from pycontainerd.oci import platforms


class Empty(Section, frozen=True, kw_only=True):
    """A section without keys."""


class Erofs(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.differ.v1.erofs']`"""

    mkfs_options: tuple[str, ...] = ()
    enable_tar_index: bool = False
    enable_dmverity: bool = False


class Scheduler(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.gc.v1.scheduler']`"""

    pause_threshold: float = 0.02
    deletion_threshold: int = 0
    mutation_threshold: int = 100
    schedule_delay: Duration = Duration(0)
    startup_delay: Duration = Duration(100_000_000)


class Bindir(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.image-verifier.v1.bindir']`"""

    bin_dir: str = "/opt/containerd/image-verifier/bin"
    max_verifiers: int = 10
    per_verifier_timeout: Duration = Duration(10_000_000_000)


class Bolt(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.metadata.v1.bolt']`"""

    content_sharing_policy: str = "shared"
    no_sync: bool = False


class GrpcPrometheus(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.metrics.v1.grpc-prometheus']`"""

    grpc_histogram: bool = False


class Restart(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.monitor.container.v1.restart']`"""

    interval: Duration = Duration(10_000_000_000)


class Cgroups(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.monitor.task.v1.cgroups']`"""

    no_prometheus: bool = False


class Validator(Section, frozen=True, kw_only=True):
    """What NRI plugins may change of a container."""

    enable: bool = False
    reject_oci_hook_adjustment: bool = False
    reject_runtime_default_seccomp_adjustment: bool = False
    reject_unconfined_seccomp_adjustment: bool = False
    reject_custom_seccomp_adjustment: bool = False
    reject_namespace_adjustment: bool = False
    reject_sysctl_adjustment: bool = False
    required_plugins: tuple[str, ...] = ()
    tolerate_missing_plugins_annotation: str = ""


class Nri(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.nri.v1.nri']`"""

    disable: bool = False
    socket_path: str = "/var/run/nri/nri.sock"
    plugin_path: str = "/opt/nri/plugins"
    plugin_config_path: str = "/etc/nri/conf.d"
    plugin_registration_timeout: Duration = Duration(5_000_000_000)
    plugin_request_timeout: Duration = Duration(2_000_000_000)
    disable_connections: bool = False
    default_validator: Validator = Validator()


class Task(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.runtime.v2.task']`"""

    platforms: tuple[str, ...] = field(default_factory=lambda: (platforms.format_platform(platforms.host()),))


class DiffService(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.service.v1.diff-service']`"""

    default: tuple[str, ...] = ("walking",)
    sync_fs: bool = False


class TasksService(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.service.v1.tasks-service']`"""

    blockio_config_file: str = ""
    rdt_config_file: str = ""


DEFAULT_SOCKET_DIR: Final = "/run/containerd/s"
"""Where the sockets of shims and of the spawner lie unless the configuration names another place."""


class ShimManager(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.shim.v1.manager']`"""

    env: tuple[str, ...] = ()
    socket_dir: str = ""


class Blockfile(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.snapshotter.v1.blockfile']`"""

    root_path: str = ""
    scratch_file: str = ""
    fs_type: str = ""
    mount_options: tuple[str, ...] = ()
    recreate_scratch: bool = False


class RootPath(Section, frozen=True, kw_only=True):
    """The section of a snapshotter that can only be told where to put things."""

    root_path: str = ""


class Devmapper(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.snapshotter.v1.devmapper']`"""

    root_path: str = ""
    pool_name: str = ""
    base_image_size: str = ""
    async_remove: bool = False
    discard_blocks: bool = False
    fs_type: str = ""
    fs_options: str = ""


class ErofsSnapshotter(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.snapshotter.v1.erofs']`"""

    root_path: str = ""
    ovl_mount_options: tuple[str, ...] = ()
    enable_fsverity: bool = False
    set_immutable: bool = False
    default_size: str = ""
    dmverity_mode: str = ""


class Overlayfs(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.snapshotter.v1.overlayfs']`"""

    root_path: str = ""
    upperdir_label: bool = False
    sync_remove: bool = False
    slow_chown: bool = False
    mount_options: tuple[str, ...] = ()


class Unpack(Section, frozen=True, kw_only=True):
    """How images of a platform are unpacked."""

    platform: str = ""
    snapshotter: str = ""
    differ: str = ""
    config_type: str = ""
    layer_types: tuple[str, ...] = ()
    optional: bool = False


class Transfer(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.transfer.v1.local']`"""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"unpack_config"})

    max_concurrent_downloads: int = 3
    concurrent_layer_fetch_buffer: int = 0
    max_concurrent_uploaded_layers: int = 3
    check_platform_supported: bool = False
    unpack_config: tuple[Unpack, ...] = ()
    config_path: str = ""
    max_concurrent_unpacks: int = 1
