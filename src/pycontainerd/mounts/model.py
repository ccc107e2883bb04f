"""The mount as a value, and what its options mean; see behaviour of mount(8) and the table below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.system import mount as kernel

INTERNAL_PREFIX: Final = "X-containerd."
"""Options that the mount manager takes out; one that gets as far as us was not understood."""

_SET: Final[Mapping[str, int]] = {
    "bind": kernel.MS_BIND,
    "dirsync": kernel.MS_DIRSYNC,
    "mand": kernel.MS_MANDLOCK,
    "noatime": kernel.MS_NOATIME,
    "nodev": kernel.MS_NODEV,
    "nodiratime": kernel.MS_NODIRATIME,
    "noexec": kernel.MS_NOEXEC,
    "nosuid": kernel.MS_NOSUID,
    "rbind": kernel.MS_BIND | kernel.MS_REC,
    "relatime": kernel.MS_RELATIME,
    "remount": kernel.MS_REMOUNT,
    "ro": kernel.MS_RDONLY,
    "strictatime": kernel.MS_STRICTATIME,
    "sync": kernel.MS_SYNCHRONOUS,
}
_CLEAR: Final[Mapping[str, int]] = {
    "async": kernel.MS_SYNCHRONOUS,
    "atime": kernel.MS_NOATIME,
    "dev": kernel.MS_NODEV,
    "diratime": kernel.MS_NODIRATIME,
    "exec": kernel.MS_NOEXEC,
    "nomand": kernel.MS_MANDLOCK,
    "norelatime": kernel.MS_RELATIME,
    "nostrictatime": kernel.MS_STRICTATIME,
    "rw": kernel.MS_RDONLY,
    "suid": kernel.MS_NOSUID,
}
_PROPAGATION: Final[Mapping[str, int]] = {
    "private": kernel.MS_PRIVATE,
    "shared": kernel.MS_SHARED,
    "slave": kernel.MS_SLAVE,
    "unbindable": kernel.MS_UNBINDABLE,
}
PROPAGATION_FLAGS: Final = kernel.MS_PRIVATE | kernel.MS_SHARED | kernel.MS_SLAVE | kernel.MS_UNBINDABLE


class Mount(Struct, frozen=True):
    """One mount: a file system of *type* from *source*, at *target* below the place where the list is mounted."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()

    def option(self, key: str) -> str | None:
        """The value of the first option `key=value`, None if there is none."""
        for option in self.options:
            name, equals, value = option.partition("=")
            if equals and name == key:
                return value
        return None

    @property
    def lower_directories(self) -> tuple[str, ...]:
        """The lower layers of an overlay, nearest first."""
        lower = self.option("lowerdir")
        return tuple(lower.split(":")) if lower else ()

    def without_options(self, *dropped: str) -> Mount:
        """The mount without options of these names (`uidmap` drops `uidmap=…`) or texts (`fsync=volatile`)."""
        kept = (o for o in self.options if o not in dropped and o.partition("=")[0] not in dropped)
        return replace(self, options=tuple(kept))


class Options(Struct, frozen=True):
    """The options of a mount, sorted by who takes them."""

    flags: int = 0
    propagation: int = 0
    data: tuple[str, ...] = ()
    loop: bool = False
    direct_io: bool = False
    uid_map: str = ""
    gid_map: str = ""

    @classmethod
    def parse(cls, options: Sequence[str]) -> Options:
        """Raises Unknown for an option that the mount manager had to take."""
        flags = propagation = 0
        data = []
        special = {"uidmap": "", "gidmap": ""}
        for option in options:
            name, equals, value = option.partition("=")
            if option in _SET:
                flags |= _SET[option]
            elif option in _CLEAR:
                flags &= ~_CLEAR[option]
            elif (kind := _PROPAGATION.get(option.removeprefix("r"))) is not None:
                propagation |= kind | (kernel.MS_REC if option.startswith("r") else 0)
            elif equals and name in special:
                special[name] = value
            elif option.startswith(INTERNAL_PREFIX):
                raise Unknown(f'internal mount option "{option}" was not consumed by the mount manager')
            else:
                data.append(option)
        loop = "loop" in data
        direct_io = loop and "direct-io" in data
        taken = {"loop", "direct-io"} if loop else set()
        return cls(
            flags,
            propagation,
            tuple(option for option in data if option not in taken),
            loop,
            direct_io,
            special["uidmap"],
            special["gidmap"],
        )

    @property
    def read_only(self) -> bool:
        return bool(self.flags & kernel.MS_RDONLY)


class IdRange(Struct, frozen=True):
    """*count* ids from *container* on inside a namespace are those from *host* on outside."""

    container: int
    host: int
    count: int


def parse_id_map(text: str) -> tuple[IdRange, ...]:
    """`container:host:count[,…]`, the value of `uidmap=` and `gidmap=`. Raises InvalidArgument."""
    ranges = []
    for part in text.split(","):
        numbers = part.split(":")
        if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise InvalidArgument(f'id mapping "{part}" is not <container id>:<host id>:<count>')
        ranges.append(IdRange(*map(int, numbers)))
    return tuple(ranges)


def read_only(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """The same mounts without a way to write: an overlay's upper directory becomes its first lower one."""
    return tuple(_read_only(mount) for mount in mounts)


def _read_only(mount: Mount) -> Mount:
    if mount.type != "overlay":
        kept = (option for option in mount.options if option not in {"rw", "ro"})
        return replace(mount, options=(*kept, "ro"))
    upper = mount.option("upperdir")
    reduced = mount.without_options("workdir", "upperdir", "uidmap", "gidmap", "volatile", "fsync=volatile")
    if upper is None:
        return reduced
    options = tuple(
        f"lowerdir={upper}:{option.removeprefix('lowerdir=')}" if option.startswith("lowerdir=") else option
        for option in reduced.options
    )
    return replace(reduced, options=options)


def without_volatile(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """The same mounts without overlay's `volatile`: a temporary mount that came and went must leave no mark of it."""
    return tuple(
        mount.without_options("volatile", "fsync=volatile") if mount.type == "overlay" else mount for mount in mounts
    )
