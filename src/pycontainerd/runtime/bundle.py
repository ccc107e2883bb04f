"""The bundle: the directory of one task, and its place for lasting work (runtime-shim.md §3).

    <state>/<namespace>/<id>/    0700, or 0710 and the container's root group when the spec maps groups
        config.json              the container's spec, byte for byte
        rootfs/                  0711, where the shim mounts
        work -> <root>/…         symlink to the work directory
        log                      fifo, the shim's own log
        shim-binary-path         0600, the executable that serves this bundle
        bootstrap.json           0644, where it serves
        sandbox                  0600, the sandbox whose shim the task has joined
    <root>/<namespace>/<id>/     0711

The daemon makes and removes the two directories, and writes the files above; the shim adds its own. `made` is the first
step and enough to start a shim in, `filled` makes the rest. A crash may leave any part of it: a bundle without
`bootstrap.json` has no shim, and one whose name begins with a dot was being removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import Final

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.errors import Unknown
from pycontainerd.mounts.mounting import unmount_recursive
from pycontainerd.runtime.bootstrap import Bootstrap, parse_file

CONFIG: Final = "config.json"
ROOTFS: Final = "rootfs"
WORK: Final = "work"
LOG: Final = "log"
BINARY_PATH: Final = "shim-binary-path"
BOOTSTRAP: Final = "bootstrap.json"
LEGACY_ADDRESS: Final = "address"
SANDBOX: Final = "sandbox"
SOCKETS: Final = "s"
INIT_PID: Final = "init.pid"

READ_LIMIT: Final = 16 << 20
"""Bytes that are read of a file in a bundle: a spec comes in one gRPC message."""

faults.declare(
    "runtime.bundle.made",
    "runtime.bundle.filled",
    "runtime.bundle.unmounted",
    "runtime.bundle.renamed",
    "runtime.bundle.removed",
)


class Bundle(Struct, frozen=True):
    """The two directories of a task."""

    namespace: str
    id: str
    path: str
    work: str

    def __str__(self) -> str:
        return self.path

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @property
    def rootfs(self) -> str:
        return self.file(ROOTFS)

    def make(self) -> None:
        """Makes the bundle's directory. Raises Unknown if it exists: something of that id was not cleaned up."""
        try:
            os.mkdir(self.path, 0o700)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o711, exist_ok=True)
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            raise Unknown(f"mkdir {self.path}: file exists") from None
        faults.reach("runtime.bundle.made")

    def fill(self, spec: bytes, root_gid: int | None) -> None:
        """Writes *spec*, makes `rootfs` and the work directory; *root_gid* is who may enter besides us."""
        if root_gid:
            os.chown(self.path, -1, root_gid)
            os.chmod(self.path, 0o710)  # noqa: S103 - the group is the container's own root
        if spec:
            self._write(CONFIG, spec, 0o666)
        os.mkdir(self.rootfs, 0o711)
        os.makedirs(os.path.dirname(self.work), 0o711, exist_ok=True)
        try:
            os.mkdir(self.work, 0o711)
        except FileExistsError:  # of a task before a reboot, or of one that a crash has cut
            shutil.rmtree(self.work)
            os.mkdir(self.work, 0o711)
        os.symlink(self.work, self.file(WORK))
        faults.reach("runtime.bundle.filled")

    def open_log(self) -> int:
        """The reading end of the log fifo, which is made if it is missing; the caller owns the descriptor.

        It is open for writing as well, so that it never ends: shims come and go.
        """
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.file(LOG), 0o700)
        return os.open(self.file(LOG), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def write_binary_path(self, path: str) -> None:
        self._replace(BINARY_PATH, path.encode(), 0o600)

    def write_bootstrap(self, bootstrap: Bootstrap) -> None:
        self._replace(BOOTSTRAP, bootstrap.to_json(), 0o644)

    def write_sandbox(self, sandbox: str) -> None:
        self._replace(SANDBOX, sandbox.encode(), 0o600)

    def read_binary_path(self) -> str:
        """The shim's executable, or nothing if it was not noted."""
        return self._read(BINARY_PATH).decode(errors="replace").strip()

    def read_spec(self) -> bytes:
        """The container's spec, nothing if it is missing."""
        return self._read(CONFIG)

    def read_sandbox(self) -> str:
        return self._read(SANDBOX).decode(errors="replace").strip()

    def read_bootstrap(self) -> Bootstrap | None:
        """Where the shim serves, None if none had been started. Raises Unknown or Unimplemented if it can't be."""
        content = self._read(BOOTSTRAP) or self._read(LEGACY_ADDRESS)
        return parse_file(content) if content else None

    def had_task(self) -> bool:
        """Whether the runtime has made a container here."""
        return os.path.exists(self.file(INIT_PID))

    def delete(self) -> None:
        """Unmounts and removes everything; what is already gone is no error. Raises OSError with the path."""
        self._remove_rootfs()
        faults.reach("runtime.bundle.unmounted")
        try:
            remove_tree(self.path)
        finally:
            remove_tree(self.work)
        faults.reach("runtime.bundle.removed")

    def _remove_rootfs(self) -> None:
        # An unmounted, empty directory is the rule: the shim has unmounted what it mounted. rmdir never removes data.
        try:
            os.rmdir(self.rootfs)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            unmount_recursive(self.rootfs)
            os.rmdir(self.rootfs)

    def _write(self, name: str, content: bytes, mode: int) -> None:
        descriptor = os.open(self.file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(content)

    def _replace(self, name: str, content: bytes, mode: int) -> None:
        """Writes a file that a crash of the daemon leaves whole or absent; the state does not outlive a boot."""
        self._write(f".{name}", content, mode)
        os.rename(self.file(f".{name}"), self.file(name))

    def _read(self, name: str) -> bytes:
        try:
            with open(self.file(name), "rb", buffering=0) as file:
                return file.read(READ_LIMIT)
        except FileNotFoundError:
            return b""


def remove_tree(path: str) -> None:
    """Removes a directory with all in it: renamed first, so that what a crash leaves is known to be garbage."""
    parent, name = os.path.split(path)
    doomed = os.path.join(parent, f".{name}")
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(doomed)  # of a removal that a crash has cut
        os.rename(path, doomed)
    faults.reach("runtime.bundle.renamed")
    shutil.rmtree(doomed)
