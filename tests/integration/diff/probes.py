"""A worker that is confined as the one for layers is, and then tries everything."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import importlib
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable

from pycontainerd.diff import confinement
from pycontainerd.system import mount, namespaces
from pycontainerd.system.libc import checked, libc, syscall

ROLES = {"probe": "tests.integration.diff.probes:main"}
_OPEN_BY_HANDLE_AT = 304
_PTRACE = 101


def warm() -> None:
    """Nothing is worth warming here."""


def main(request: bytes, fds: list[int]) -> int:
    """Writes a line for each thing that was tried: what came of it."""
    outside = os.fsdecode(request)
    (directory,) = confinement.enter(lambda place: [os.open(outside, os.O_RDONLY)])
    probes: dict[str, Callable[[], object]] = {
        "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "fork": os.fork,
        "kill": lambda: os.kill(1, 0),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "mount": lambda: mount.mount("tmpfs", "/", "tmpfs"),
        "ptrace": lambda: checked(syscall(_PTRACE, 16, 1, 0, 0)),
        "unshare": lambda: namespaces.unshare(namespaces.CLONE_NEWUSER),
        "chroot": lambda: os.chroot("/"),
        "mknod": lambda: os.mknod("null", stat.S_IFCHR, os.makedev(1, 3), dir_fd=directory),
        "ioctl": lambda: fcntl.ioctl(directory, 0x5401),
        "handle": lambda: checked(syscall(_OPEN_BY_HANDLE_AT, directory, ctypes.create_string_buffer(64), 0)),
        "whiteout": lambda: os.mknod("whiteout", stat.S_IFCHR, 0, dir_fd=directory),
        "outside": lambda: os.open(outside, os.O_RDONLY),
        "root": lambda: os.listdir("/"),
        "write root": lambda: os.open("/file", os.O_CREAT | os.O_WRONLY),
        "import": lambda: importlib.import_module("this"),
        "thread": _thread,
    }
    with os.fdopen(fds[0], "w") as report:
        for name, probe in probes.items():
            report.write(f"{name}: {_came_of(probe)}\n")
            report.flush()
    return 0


def _came_of(probe: Callable[[], object]) -> str:
    try:
        result = probe()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except ImportError as error:
        return str(error)
    return "yes" if result is None else str(result)


def _thread() -> None:
    thread = threading.Thread(target=signal.getsignal, args=(signal.SIGTERM,))
    thread.start()
    thread.join()


_ = libc
