"""Control groups, version 1 and 2: where a process's groups lie, joining them, and descriptors that tell of an OOM.

See cgroups(7). A machine is *unified* if version 2 is mounted at /sys/fs/cgroup; a hybrid one (version 2 without
controllers beside version 1) counts as version 1, as runc has it. What the files say is read by the callers.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Final, Self

from msgspec import Struct

from pycontainerd.system.libc import checked, libc
from pycontainerd.system.mountinfo import read_mountinfo

ROOT: Final = "/sys/fs/cgroup"
CGROUP2_SUPER_MAGIC: Final = 0x63677270

IN_MODIFY: Final = 0x2
IN_IGNORED: Final = 0x8000

_EVENT: Final = struct.Struct("=iIII")


def is_unified(root: str = ROOT) -> bool:
    """Whether *root* is version 2."""
    buffer = ctypes.create_string_buffer(256)
    checked(libc.statfs(os.fsencode(root), buffer), root)
    return ctypes.c_long.from_buffer(buffer).value == CGROUP2_SUPER_MAGIC


class Mounted(Struct, frozen=True):
    """A mounted hierarchy: the directory, and the group that this directory shows (a container sees its own)."""

    directory: str
    root: str

    def path(self, group: str) -> str:
        """The directory of *group*, a path as /proc/<pid>/cgroup has it."""
        below = os.path.relpath(group, self.root) if group.startswith(self.root) else group.lstrip("/")
        return os.path.normpath(os.path.join(self.directory, below))


def hierarchies(mountinfo: str = "/proc/self/mountinfo") -> dict[str, Mounted]:
    """The mounted hierarchies by controller (`memory`, `name=systemd`); version 2 under the empty name."""
    found: dict[str, Mounted] = {}
    for info in read_mountinfo(mountinfo):
        mounted = Mounted(info.mount_point, info.root)
        if info.type == "cgroup2":
            found.setdefault("", mounted)
        elif info.type == "cgroup":
            for option in info.super_options.split(","):
                found.setdefault(option, mounted)
    return found


def groups_of(pid: int | str) -> dict[str, str]:
    """The groups of a process by controller, version 2 under the empty name. Raises FileNotFoundError."""
    groups = {}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


class Cgroup(Struct, frozen=True):
    """The directories of one group: by controller in version 1, under the empty name in version 2."""

    unified: bool
    directories: Mapping[str, str]

    @classmethod
    def of_process(cls, pid: int | str) -> Self:
        """The group in which a process is. Raises FileNotFoundError if there is no such process."""
        unified = is_unified()
        mounted = hierarchies()
        return cls(
            unified,
            {
                controller: mounted[controller].path(group)
                for controller, group in groups_of(pid).items()
                if controller in mounted and bool(controller) is not unified
            },
        )

    @classmethod
    def named(cls, path: str) -> Self:
        """The group *path*, absolute from the root of the hierarchies, whether it exists or not."""
        unified = is_unified()
        return cls(
            unified,
            {
                controller: os.path.join(mounted.directory, path.lstrip("/"))
                for controller, mounted in hierarchies().items()
                if bool(controller) is not unified
                and (not controller or controller.startswith("name=") or controller in _CONTROLLERS)
            },
        )

    def directory(self, controller: str) -> str | None:
        """Where the files of *controller* lie."""
        return self.directories.get("" if self.unified else controller)

    def exists(self) -> bool:
        return any(os.path.isdir(directory) for directory in self.directories.values())

    def read(self, controller: str, file: str) -> str | None:
        """The text of a file, None if the group or this file is not there."""
        directory = self.directory(controller)
        if directory is None:
            return None
        try:
            with open(os.path.join(directory, file), encoding="ascii") as opened:
                return opened.read()
        except OSError:
            return None

    def join(self, pid: int = 0) -> None:
        """Moves a process (0: this one) into the group, in every hierarchy; makes what is missing."""
        for directory in dict.fromkeys(self.directories.values()):
            self._make(directory)
            write(os.path.join(directory, "cgroup.procs"), str(pid))

    def remove(self) -> None:
        """Removes the group, which must be empty, from every hierarchy."""
        for directory in dict.fromkeys(self.directories.values()):
            if os.path.isdir(directory):
                os.rmdir(directory)

    def _make(self, directory: str) -> None:
        """Makes a group and those above it. A new cpuset of version 1 takes no process until it has CPUs."""
        if os.path.isdir(directory):
            return
        parent = os.path.dirname(directory)
        self._make(parent)
        os.mkdir(directory, 0o755)
        for name in ("cpuset.cpus", "cpuset.mems"):
            # In version 2 an empty set means that of the parent, and the root has no such file.
            if not self.unified and os.path.exists(os.path.join(directory, name)):
                with open(os.path.join(parent, name), encoding="ascii") as file:
                    write(os.path.join(directory, name), file.read())


_CONTROLLERS: Final = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb"}
    | {"memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"}
)


def write(path: str, text: str) -> None:
    """Writes *text* to a control file in one call, as the kernel wants it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def enable_controllers(directory: str, controllers: Iterable[str], root: str = ROOT) -> None:
    """Version 2: lets the children of every group from *root* down to *directory* have *controllers*.

    Raises OSError: a group with processes in it can't hand controllers on.
    """
    text = " ".join(f"+{controller}" for controller in controllers)
    place = root
    for part in ["", *os.path.relpath(directory, root).split("/")]:
        place = os.path.join(place, part) if part not in {"", "."} else place
        if text:
            write(os.path.join(place, "cgroup.subtree_control"), text)


def oom_eventfd(memory_directory: str) -> int:
    """Version 1: a descriptor that is readable after each OOM in the group, and when the group is removed.

    A read gives eight bytes, the count; whether the group is still there tells the two apart. The caller owns it.
    """
    control = os.open(os.path.join(memory_directory, "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            write(os.path.join(memory_directory, "cgroup.event_control"), f"{event} {control}")
        except BaseException:
            os.close(event)
            raise
    finally:
        os.close(control)
    return event


def event_inotify(directory: str) -> int:
    """Version 2: a descriptor that is readable when `memory.events` or `cgroup.events` of the group change.

    Read it with `read_inotify`; the files themselves say what has changed. The caller owns it.
    """
    watch = checked(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    try:
        for name in ("memory.events", "cgroup.events"):
            path = os.path.join(directory, name)
            checked(libc.inotify_add_watch(watch, os.fsencode(path), IN_MODIFY), path)
    except BaseException:
        os.close(watch)
        raise
    return watch


def read_inotify(watch: int) -> list[tuple[int, int]]:
    """What is waiting: watch number and mask of each event; IN_IGNORED says that the file is gone."""
    try:
        data = os.read(watch, 65536)
    except BlockingIOError:
        return []
    events = []
    offset = 0
    while offset < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, offset)
        events.append((number, mask))
        offset += _EVENT.size + length
    return events


def flat_keyed(text: str) -> dict[str, int]:
    """Lines of `name number`, as memory.stat and memory.events have them."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
