"""Warnings of features that will go: held in memory, told by `Introspection.Server`, printed by clients."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from pycontainerd.clock import Clock

PREFIX: Final = "io.containerd.deprecation/"


class Deprecation(StrEnum):
    """What is deprecated, by the id under `PREFIX` that clients suppress it with."""

    CRI_REGISTRY_MIRRORS = "cri-registry-mirrors"
    CRI_REGISTRY_AUTHS = "cri-registry-auths"
    CRI_REGISTRY_CONFIGS = "cri-registry-configs"
    CRI_CNI_BIN_DIR = "cri-cni-bin-dir"
    TRACING_PROCESSOR_CONFIG = "tracing-processor-config"
    TRACING_SERVICE_CONFIG = "tracing-service-config"
    CGROUP_V1 = "cgroup-v1"
    RUNC_OPTIONS_TASK_API_ADDRESS = "runc-options-task-api-address"
    RUNC_OPTIONS_TASK_API_VERSION = "runc-options-task-api-version"
    CRI_CREATE_CONTAINER_CHECKPOINT_RESTORE = "cri-create-container-checkpoint-restore"


_GOES: Final = "and will be removed in containerd v2.4."
_REGISTRY: Final = '`[plugins."io.containerd.grpc.v1.cri".registry]` is deprecated since containerd'
_CREATE_TASK: Final = "on CreateTaskRequest instead."

MESSAGES: Final = {
    Deprecation.CRI_REGISTRY_MIRRORS: f"The `mirrors` property of {_REGISTRY} v1.5 {_GOES} Use `config_path` instead.",
    Deprecation.CRI_REGISTRY_AUTHS: f"The `auths` property of {_REGISTRY} v1.3 {_GOES} Use `ImagePullSecrets` instead.",
    Deprecation.CRI_REGISTRY_CONFIGS: f"The `configs` property of {_REGISTRY} v1.5 {_GOES} Use `config_path` instead.",
    Deprecation.CRI_CNI_BIN_DIR: 'The `bin_dir` property of `[plugins."io.containerd.cri.v1.runtime".cni`] is '
    f"deprecated since containerd v2.1 {_GOES} Use `bin_dirs` in the same section instead.",
    Deprecation.TRACING_PROCESSOR_CONFIG: "The `otlp` property of "
    f'`[plugins."io.containerd.tracing.processor.v1".otlp]` is deprecated since containerd v1.6 {_GOES} '
    "Use OTLP environment variables instead: "
    "https://opentelemetry.io/docs/specs/otel/protocol/exporter/",
    Deprecation.TRACING_SERVICE_CONFIG: 'The `tracing` property of `[plugins."io.containerd.internal.v1".tracing]` is '
    f"deprecated since containerd v1.6 {_GOES} Use OTEL environment variables instead: "
    "https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/",
    Deprecation.CGROUP_V1: "The support for cgroup v1 is deprecated since containerd v2.2 and will be removed by no "
    "later than May 2029. Upgrade the host to use cgroup v2.",
    Deprecation.RUNC_OPTIONS_TASK_API_ADDRESS: "The `task_api_address` field in runc options is deprecated since "
    f"containerd v2.3. Set `task_api_address` {_CREATE_TASK}",
    Deprecation.RUNC_OPTIONS_TASK_API_VERSION: "The `task_api_version` field in runc options is deprecated since "
    f"containerd v2.3. Set `task_api_version` {_CREATE_TASK}",
    Deprecation.CRI_CREATE_CONTAINER_CHECKPOINT_RESTORE: "Restoring checkpoint data from an image or archive "
    "during CRI CreateContainer is deprecated and will be removed in containerd v2.4.",
}


class Warned(Struct, frozen=True):
    """A warning and when its reason was last seen, in nanoseconds since 1970."""

    id: str
    message: str
    last_ns: int


class Deprecations:
    """The warnings of this run of the daemon; each stands here once, with its latest time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[Deprecation, int] = {}

    def emit(self, deprecation: Deprecation) -> None:
        """Records that *deprecation* is in use."""
        self._seen[deprecation] = self._clock.now_ns()

    def warnings(self) -> list[Warned]:
        return [Warned(PREFIX + key, MESSAGES[key], seen_ns) for key, seen_ns in self._seen.items()]
