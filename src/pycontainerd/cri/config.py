"""The sections of config.toml that the CRI plugins read: `cri.v1.images`, `cri.v1.runtime` and `grpc.v1.cri`."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import field

from pycontainerd.config.section import Section


class Mirror(Section, frozen=True, kw_only=True):
    """Other places of a registry. Deprecated in favour of `config_path`."""

    endpoint: tuple[str, ...] = ()


class AuthConfig(Section, frozen=True, kw_only=True):
    """Credentials for a registry."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identitytoken: str = ""


class RegistryConfig(Section, frozen=True, kw_only=True):
    """Credentials of one registry. Deprecated in favour of `config_path`."""

    auth: AuthConfig | None = None


class Registry(Section, frozen=True, kw_only=True):
    """Where registries are configured."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"mirrors", "configs", "auths", "headers"})

    config_path: str = ""
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    configs: dict[str, RegistryConfig] = field(default_factory=dict)
    auths: dict[str, AuthConfig] = field(default_factory=dict)
    headers: dict[str, tuple[str, ...]] = field(default_factory=dict)


class ImageDecryption(Section, frozen=True, kw_only=True):
    """Where the keys of encrypted images are."""

    key_model: str = "node"


class ImagePlatform(Section, frozen=True, kw_only=True):
    """The images that a runtime wants."""

    platform: str = ""
    snapshotter: str = ""


class ImagesConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.cri.v1.images']`"""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"runtime_platforms"})

    snapshotter: str = "overlayfs"
    disable_snapshot_annotations: bool = True
    discard_unpacked_layers: bool = False
    max_concurrent_downloads: int = 3
    concurrent_layer_fetch_buffer: int = 0
    image_pull_progress_timeout: str = "5m0s"
    image_pull_with_sync_fs: bool = False
    stats_collect_period: int = 10
    use_local_image_pull: bool = False
    pinned_images: dict[str, str] = field(default_factory=lambda: {"sandbox": "registry.k8s.io/pause:3.10.2"})
    runtime_platforms: dict[str, ImagePlatform] = field(default_factory=dict)
    registry: Registry = Registry()
    image_decryption: ImageDecryption = ImageDecryption()


def _runc_options() -> dict[str, Any]:
    return {
        "BinaryName": "",
        "CriuImagePath": "",
        "CriuWorkPath": "",
        "IoGid": 0,
        "IoUid": 0,
        "NoNewKeyring": False,
        "Root": "",
        "ShimCgroup": "",
        "SystemdCgroup": False,
    }


class Runtime(Section, frozen=True, kw_only=True):
    """A handler that a pod may name."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"options"})

    runtime_type: str = ""
    runtime_path: str = ""
    pod_annotations: tuple[str, ...] = ()
    container_annotations: tuple[str, ...] = ()
    privileged_without_host_devices: bool = False
    privileged_without_host_devices_all_devices_allowed: bool = False
    cgroup_writable: bool = False
    base_runtime_spec: str = ""
    cni_conf_dir: str = ""
    cni_max_conf_num: int = 0
    snapshotter: str = ""
    sandboxer: str = ""
    io_type: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def _runtimes() -> dict[str, Runtime]:
    return {"runc": Runtime(runtime_type="io.containerd.runc.v2", sandboxer="podsandbox", options=_runc_options())}


class Containerd(Section, frozen=True, kw_only=True):
    """Which runtimes there are."""

    default_runtime_name: str = "runc"
    ignore_blockio_not_enabled_errors: bool = False
    ignore_rdt_not_enabled_errors: bool = False
    runtimes: dict[str, Runtime] = field(default_factory=_runtimes)


class Cni(Section, frozen=True, kw_only=True):
    """How pods get their network."""

    bin_dir: str = ""
    bin_dirs: tuple[str, ...] = ("/opt/cni/bin",)
    conf_dir: str = "/etc/cni/net.d"
    max_conf_num: int = 1
    setup_serially: bool = False
    conf_template: str = ""
    ip_pref: str = ""
    use_internal_loopback: bool = False


class RuntimeConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.cri.v1.runtime']`"""

    enable_selinux: bool = False
    selinux_category_range: int = 1024
    max_container_log_line_size: int = 16384
    disable_apparmor: bool = False
    restrict_oom_score_adj: bool = False
    disable_proc_mount: bool = False
    unset_seccomp_profile: str = ""
    tolerate_missing_hugetlb_controller: bool = True
    disable_hugetlb_controller: bool = True
    device_ownership_from_security_context: bool = False
    ignore_image_defined_volumes: bool = False
    netns_mounts_under_state_dir: bool = False
    enable_unprivileged_ports: bool = True
    enable_unprivileged_icmp: bool = True
    enable_cdi: bool = True
    cdi_spec_dirs: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi")
    drain_exec_sync_io_timeout: str = "0s"
    ignore_deprecation_warnings: tuple[str, ...] = ()
    stats_collect_period: str = ""
    stats_retention_period: str = ""
    enable_criu: bool = True
    enable_experimental_restore_via_create: bool = False
    containerd: Containerd = Containerd()
    cni: Cni = Cni()


class KeyPair(Section, frozen=True, kw_only=True):
    """The certificate of the streaming server."""

    tls_cert_file: str = ""
    tls_key_file: str = ""


class ServiceConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.grpc.v1.cri']`"""

    disable_tcp_service: bool = True
    stream_server_address: str = "127.0.0.1"
    stream_server_port: str = "0"
    stream_idle_timeout: str = "4h0m0s"
    enable_tls_streaming: bool = False
    x509_key_pair_streaming: KeyPair = KeyPair()
