"""Applying mounts to a directory and taking them away again. Everything here blocks the calling thread.

A mount at a target below is opened with openat2 before it is mounted, through the descriptor: no link planted in a
layer leads it out of its root.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Final

from pycontainerd.errors import InvalidArgument
from pycontainerd.mounts import fuse, idmapped, loop
from pycontainerd.mounts.model import Mount, Options
from pycontainerd.system import mount as kernel
from pycontainerd.system import namespaces
from pycontainerd.system.mountinfo import mounts_below
from pycontainerd.system.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

BUSY_ATTEMPTS: Final = 50
BUSY_DELAY_S: Final = 0.05

_MountCall = tuple[str, str, str, int, str | None]
"""Source, target, type, flags, data, as mount(2) takes them."""

_LOCKED_FLAGS: Final = {
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
    os.ST_NOATIME: kernel.MS_NOATIME,
    os.ST_NODIRATIME: kernel.MS_NODIRATIME,
    os.ST_RELATIME: kernel.MS_RELATIME,
    os.ST_RDONLY: kernel.MS_RDONLY,
}


def mount_all(mounts: Sequence[Mount], target: str) -> None:
    """Mounts in order at *target*. If one fails, those before it are taken away again.

    Raises OSError with source and target, Unknown for an option that was meant for the mount manager.
    """
    with ExitStack() as undo:
        for mount in mounts:
            mount_one(mount, target)
            undo.callback(_undo, os.path.join(target, mount.target.lstrip("/")))
        undo.pop_all()


def _undo(target: str) -> None:
    with suppress(OSError):  # the failure that led here is what the caller must hear of
        unmount(target, kernel.MNT_DETACH)


def mount_one(mount: Mount, target: str) -> None:
    """Mounts one at its place below *target*."""
    with ExitStack() as stack:
        place = target
        if mount.target.strip("/"):
            place = _open_below(target, mount.target, stack)
        if mount.type.startswith(("fuse.", "fuse3.")):
            fuse.mount(mount, place)
            return
        _mount(mount, Options.parse(mount.options), place, stack)


def _open_below(root: str, path: str, stack: ExitStack) -> str:
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, directory)
    inside = openat2(directory, path.lstrip("/"), os.O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    stack.callback(os.close, inside)
    return f"/proc/self/fd/{inside}"


def _mount(mount: Mount, options: Options, target: str, stack: ExitStack) -> None:
    mapping = idmapped.Mapping.parse(options.uid_map, options.gid_map) if options.uid_map or options.gid_map else None
    source, data = mount.source, list(options.data)
    if mapping is not None and mount.type == "overlay":
        data = idmapped.map_lower_directories(data, mapping, stack)
    if options.loop:
        source = stack.enter_context(loop.attached(source, read_only=options.read_only, direct_io=options.direct_io))
    directory, text = _fitting(mount.type, data)
    if not options.flags & kernel.MS_REMOUNT or text:
        _mount_from(directory, (source, target, mount.type, options.flags, text or None))
    with ExitStack() as undo:
        undo.callback(_undo, target)
        if options.propagation:
            kernel.mount(None, target, None, options.propagation)
        if options.flags & kernel.MS_BIND and options.read_only:
            # A bind takes no flags of its own: only a second call makes it read-only.
            flags = options.flags | kernel.MS_REMOUNT | _locked_flags(target)
            kernel.mount(None, target, None, flags)
        if mapping is not None and mount.type != "overlay":
            idmapped.map_mount(target, mapping)
        undo.pop_all()


def _locked_flags(target: str) -> int:
    """In a user namespace a remount must repeat the flags that the mount came with."""
    if not namespaces.in_user_namespace():
        return 0
    present = os.statvfs(target).f_flag
    return sum(flag for bit, flag in _LOCKED_FLAGS.items() if present & bit)


def _fitting(type_: str, data: list[str]) -> tuple[str | None, str]:
    """The data of a mount, and the directory to mount from if lower directories were made relative to it.

    The kernel takes one page of data; many layers with long paths need more. Raises InvalidArgument if even so it
    is too long.
    """
    directory = None
    text = ",".join(data)
    if type_ == "overlay" and len(os.fsencode(text)) >= mmap.PAGESIZE - 512:
        directory, data = compact(data)
        text = ",".join(data)
    if len(os.fsencode(text)) > mmap.PAGESIZE:
        raise InvalidArgument("mount options is too long")
    return directory, text


def compact(data: Sequence[str]) -> tuple[str | None, list[str]]:
    """Lower directories relative to the longest directory that they share; that directory, or None without a gain."""
    for index, option in enumerate(data):
        if not option.startswith("lowerdir="):
            continue
        lower = option.removeprefix("lowerdir=").split(":")
        if not all(path.startswith("/") for path in lower):
            return None, list(data)
        common = os.path.commonpath([os.path.dirname(os.path.normpath(path)) for path in lower])
        if common == "/":
            return None, list(data)
        relative = ":".join(os.path.relpath(path, common) for path in lower)
        return common, [*data[:index], f"lowerdir={relative}", *data[index + 1 :]]
    return None, list(data)


def _mount_from(directory: str | None, arguments: _MountCall) -> None:
    """Mounts with *directory* as the working directory, which the rest of the process must not notice."""
    if directory is None:
        kernel.mount(*arguments)
    elif len(os.listdir("/proc/self/task")) == 1:
        _mount_in(directory, arguments)
    else:
        _mount_in_thread(directory, arguments)


def _mount_in(directory: str, arguments: _MountCall) -> None:
    with ExitStack() as stack:
        before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, before)
        os.chdir(directory)
        stack.callback(os.fchdir, before)
        kernel.mount(*arguments)


def _mount_in_thread(directory: str, arguments: _MountCall) -> None:
    failures: list[OSError] = []

    def work() -> None:
        try:
            namespaces.unshare(namespaces.CLONE_FS)
            os.chdir(directory)
            kernel.mount(*arguments)
        except OSError as error:
            failures.append(error)

    # A thread of its own: the directory that it leaves for is never that of another again.
    thread = threading.Thread(target=work, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def unmount(target: str, flags: int = 0, *, attempts: int = BUSY_ATTEMPTS) -> None:
    """Takes the topmost mount from *target*; tries again for 2.5 s while it is busy. EINVAL: nothing is mounted."""
    for attempt in range(attempts):
        try:
            kernel.umount(target, flags)
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == attempts - 1:
                raise
            time.sleep(BUSY_DELAY_S)
        else:
            return


def unmount_all(target: str, flags: int = 0, *, attempts: int = BUSY_ATTEMPTS) -> None:
    """Takes every mount from *target*, those stacked on each other as well; nothing happens if there is none."""
    if fuse.unmount(target):
        return
    while True:
        try:
            unmount(target, flags, attempts=attempts)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.EINVAL:
                return
            raise


def unmount_mounts(mounts: Sequence[Mount], target: str, flags: int = 0) -> None:
    """Takes what `mount_all` put there, in reverse order."""
    for mount in reversed(mounts):
        with ExitStack() as stack:
            if mount.target.strip("/"):
                real = os.readlink(_open_below(target, mount.target, stack))
                stack.close()  # our own descriptor would keep it busy
                unmount_all(real, flags)
            else:
                unmount_all(target, flags)


def unmount_recursive(target: str, flags: int = 0, *, attempts: int = BUSY_ATTEMPTS) -> None:
    """Takes every mount at and below *target*, the deepest first."""
    for place in mounts_below(os.path.realpath(target)):
        unmount_all(place, flags, attempts=attempts)
