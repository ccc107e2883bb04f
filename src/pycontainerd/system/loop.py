"""Loop devices; see loop(4)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import Final

LO_FLAGS_READ_ONLY: Final = 1
LO_FLAGS_AUTOCLEAR: Final = 4
LO_FLAGS_DIRECT_IO: Final = 16

_LOOP_SET_FD: Final = 0x4C00
_LOOP_CLR_FD: Final = 0x4C01
_LOOP_SET_STATUS64: Final = 0x4C04
_LOOP_SET_DIRECT_IO: Final = 0x4C08
_LOOP_CONFIGURE: Final = 0x4C0A
_LOOP_CTL_GET_FREE: Final = 0x4C82

_INFO64: Final = struct.Struct("=5Q4I64s64s32s2Q")
_ATTEMPTS: Final = 100


def attach(path: str, flags: int) -> tuple[str, int]:
    """A free loop device over the file *path*: its path and an open descriptor, which holds it until it is mounted.

    Raises OSError: EBUSY if others take every free device before us.
    """
    mode = os.O_RDONLY if flags & LO_FLAGS_READ_ONLY else os.O_RDWR
    file = os.open(path, mode | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = f"/dev/loop{_free_number()}"
            descriptor = os.open(device, mode | os.O_CLOEXEC)
            try:
                _configure(descriptor, file, path, flags)
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:
                    raise OSError(error.errno, error.strerror, device, None, path) from None
            else:
                return device, descriptor
    finally:
        os.close(file)
    raise OSError(errno.EBUSY, "others took every free loop device", path)


def detach(descriptor: int) -> None:
    """Frees the device now, or when its last user is gone."""
    fcntl.ioctl(descriptor, _LOOP_CLR_FD)


def _free_number() -> int:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        return int(fcntl.ioctl(control, _LOOP_CTL_GET_FREE))
    finally:
        os.close(control)


def _configure(descriptor: int, file: int, path: str, flags: int) -> None:
    info = _INFO64.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(path)[:63], b"", b"", 0, 0)
    try:
        fcntl.ioctl(descriptor, _LOOP_CONFIGURE, struct.pack("=II", file, 0) + info + bytes(64))
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTTY, errno.ENOSYS}:
            raise
        _configure_in_steps(descriptor, file, info, flags)  # before Linux 5.8


def _configure_in_steps(descriptor: int, file: int, info: bytes, flags: int) -> None:
    fcntl.ioctl(descriptor, _LOOP_SET_FD, file)
    try:
        fcntl.ioctl(descriptor, _LOOP_SET_STATUS64, info)
        if flags & LO_FLAGS_DIRECT_IO:
            fcntl.ioctl(descriptor, _LOOP_SET_DIRECT_IO, 1)
    except OSError:
        detach(descriptor)
        raise
