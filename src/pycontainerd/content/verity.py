"""fs-verity for blobs: the kernel checks each page that it reads against a hash tree. See fsverity.rst, ioctl(2).

The digest of a blob is checked when it is written; this keeps a disk from changing it later without anybody noticing.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import tempfile
from pathlib import Path
from typing import Final

_ENABLE: Final = 0x40806685
"""FS_IOC_ENABLE_VERITY: _IOW('f', 133, struct fsverity_enable_arg)."""

_ARGUMENT: Final = struct.Struct("=IIIIQIIQ88x")
"""version, hash_algorithm, block_size, salt_size, salt_ptr, sig_size, reserved, sig_ptr, reserved."""

_SHA256: Final = 1
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

_log: Final = logging.getLogger(__name__)


def supported(root: Path) -> bool:
    """Whether the file system of *root* takes fs-verity; asked of it with a file of its own."""
    with tempfile.TemporaryDirectory(prefix=".fsverity-check-", dir=root) as directory:
        path = os.path.join(directory, "probe")
        Path(path).write_bytes(b"verity")
        try:
            _enable(path)
        except OSError:
            return False
        return True


def enable(path: str) -> None:
    """Protects the file *path*, which nobody may have open for writing. A failure is only logged."""
    try:
        _enable(path)
    except FileExistsError:
        return
    except OSError as error:
        _log.warning("failed to enable fs-verity on %s: %s", path, error)


def _enable(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        block = min(_PAGE, os.fstat(descriptor).st_blksize)
        fcntl.ioctl(descriptor, _ENABLE, _ARGUMENT.pack(1, _SHA256, block, 0, 0, 0, 0, 0))
    finally:
        os.close(descriptor)
