"""The spec that every other one is built from: what a container on Linux is unless someone says otherwise."""

from __future__ import annotations

from typing import Final

from pycontainerd.oci.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from pycontainerd.oci.spec import (
    VERSION,
    Capabilities,
    DeviceRule,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
    User,
)

DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RWM: Final = "rwm"
"""Read, write and make: all that the device cgroup can allow."""

_NOFILE: Final = 1024
_MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/scsi",
)
_READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NAMESPACES: Final = ("pid", "ipc", "uts", "mount", "network")
_DEVICES: Final = ((1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9), (5, 1), (136, None), (5, 2))
"""null, random, full, tty, zero, urandom, console, all pts, ptmx."""


def default_spec(namespace: str, container_id: str) -> Spec:
    """The default spec of the container *container_id* in *namespace*; the id may be empty."""
    held = list(DEFAULT_CAPABILITIES)
    return Spec(
        VERSION,
        Process(
            user=User(0, 0),
            cwd="/",
            capabilities=Capabilities(bounding=held, effective=list(held), permitted=list(held)),
            rlimits=[Rlimit("RLIMIT_NOFILE", _NOFILE, _NOFILE)],
            no_new_privileges=True,
        ),
        Root("rootfs"),
        mounts=default_mounts(),
        linux=Linux(
            resources=Resources(devices=[DeviceRule(False, access=RWM)]),
            cgroups_path=f"/{namespace}/{container_id}".rstrip("/"),
            namespaces=[Namespace(kind) for kind in _NAMESPACES],
            masked_paths=list(_MASKED_PATHS),
            readonly_paths=list(_READONLY_PATHS),
        ),
    )


def default_mounts() -> list[Mount]:
    """What is mounted in every container."""
    small = ["nosuid", "noexec", "nodev"]
    return [
        Mount("/proc", "proc", "proc", list(small)),
        Mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        Mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        Mount("/dev/shm", "tmpfs", "shm", [*small, "mode=1777", "size=65536k"]),  # noqa: S108 - in the container
        Mount("/dev/mqueue", "mqueue", "mqueue", list(small)),
        Mount("/sys", "sysfs", "sysfs", [*small, "ro"]),
        Mount("/run", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ]


def default_device_rules() -> list[DeviceRule]:
    """The devices that every container may use."""
    return [DeviceRule(True, "c", major, minor, RWM) for major, minor in _DEVICES]
