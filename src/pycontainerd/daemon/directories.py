"""The directories of a daemon, and the lock that makes them its own.

root        0700, chmod'ed at each start; locked by flock(2) on the directory itself
 └─ tmpmounts   0700, emptied at each start by who has the lock
state       0711
temp        0700, if configured; also TMPDIR of the process
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

from pycontainerd.errors import Unknown

TMPMOUNTS: Final = "tmpmounts"
"""Where temporary mounts are made, below the root."""


def make(root: str, state: str, temp: str) -> None:
    """Makes the directories that several daemons may ask for. Raises Unknown that names the directory."""
    _make(root, 0o700)
    try:
        os.chmod(root, 0o700)
    except OSError as error:
        raise _named("chmod", root, error) from error
    _make(state, 0o711)
    if temp:
        _make(temp, 0o700)
        os.environ["TMPDIR"] = temp


def empty_tmpmounts(root: str) -> None:
    """Makes the place of temporary mounts and unmounts what an earlier daemon left there; for who has the root."""
    mounts = os.path.join(root, TMPMOUNTS)
    _make(mounts, 0o700)
    if os.listdir(mounts):  # rarely: a daemon was killed while it applied a layer
        from pycontainerd.mounts.temporary import remove_stale

        remove_stale(mounts)


def _make(path: str, mode: int) -> None:
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except FileExistsError:
        raise _named("mkdir", path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))) from None
    except OSError as error:
        raise _named("mkdir", path, error) from error


def _named(what: str, path: str, error: OSError) -> Unknown:
    return Unknown(f"{what} {path}: {(error.strerror or str(error)).lower()}")


class RootLock:
    """The claim of one daemon on its root; the kernel gives it up when the process ends, however it ends."""

    def __init__(self, root: str) -> None:
        self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def take_nowait(self) -> bool:
        """Takes the lock unless another process has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Gives the lock up."""
        os.close(self._descriptor)
