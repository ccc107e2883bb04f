"""What a worker gives up before it reads the first byte of a layer.

It keeps the descriptors that it has: the stream, the socket for replies, the directory that it writes to and those of
lower layers. Around them: its own mount namespace, whose root is an empty, read-only tmpfs; no capability but those
that setting owners and attributes of files takes; no system call that executes, mounts, makes sockets or processes,
signals or traces; no import, so that no file can become code.

A thread inherits all this only if it is started later.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from pycontainerd.system import capabilities, mount, namespaces, seccomp

_PLACES: Final = ("/sys", "/proc", "/dev", "/tmp", "/run")  # noqa: S108 - where a mount of ours alone may lie
KEPT_CAPABILITIES: Final = (
    capabilities.CAP_CHOWN,
    capabilities.CAP_DAC_OVERRIDE,
    capabilities.CAP_FOWNER,
    capabilities.CAP_FSETID,
    capabilities.CAP_SETFCAP,
    capabilities.CAP_SYS_ADMIN,  # for attributes of `trusted.*`: overlay's mark of an opaque directory
)
_DENIED: Final = dict.fromkeys(seccomp.NUMBERS, errno.EPERM) | {
    "clone3": errno.ENOSYS,  # the C library falls back to clone, whose flags a filter can see
    "ioctl": errno.ENOTTY,  # with CAP_SYS_ADMIN one could freeze the file system
}


def enter(
    open_directories: Callable[[str], Sequence[int]], *, kept: Sequence[int] = KEPT_CAPABILITIES
) -> Sequence[int]:
    """Confines this process; *open_directories* runs just before, in the new mount namespace.

    It gets an empty directory that it may mount on, and its result is returned: descriptors that stay. Of capabilities
    only the *kept* ones stay. Raises OSError.
    """
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
    place = next(place for place in _PLACES if os.path.isdir(place))
    mount.mount("tmpfs", place, "tmpfs", mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC, "size=64k,mode=0755")
    inner = os.path.join(place, "root")
    os.mkdir(inner)
    opened = open_directories(inner)
    _leave_mounts(inner)
    _pivot(place)
    capabilities.keep_only(kept)
    seccomp.install(filter_program())
    refuse_imports()
    return opened


@functools.cache
def filter_program() -> bytes:
    """The filter of system calls; the same for all workers. Raises OSError on a machine whose calls aren't known."""
    return seccomp.program(_DENIED, threads_only=True)


def _leave_mounts(directory: str) -> None:
    """Takes what was mounted on *directory*; descriptors keep it alive."""
    while os.path.ismount(directory):
        mount.umount(directory, mount.MNT_DETACH)
    os.rmdir(directory)


def _pivot(new_root: str) -> None:
    os.chdir(new_root)
    namespaces.pivot_root(".", ".")
    mount.umount(".", mount.MNT_DETACH)
    os.chdir("/")
    mount.mount(None, "/", None, mount.MS_REMOUNT | mount.MS_BIND | mount.MS_RDONLY | mount.MS_NOSUID | mount.MS_NODEV)


class _Refusal:
    """The only finder of modules: it finds none."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        raise ImportError(f"module {name} was not loaded before imports were closed", name=name)


def refuse_imports() -> None:
    """Lets every import of a module that isn't loaded fail, for the rest of this process."""
    sys.meta_path[:] = [_Refusal()]
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.path.clear()
