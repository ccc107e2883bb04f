"""The option `loop`: the source is a file, mounted through a loop device that ends with the mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainerd.system import loop


@contextmanager
def attached(path: str, *, read_only: bool, direct_io: bool) -> Iterator[str]:
    """The block gets the device of *path*; the kernel frees it when the block has ended and nothing is mounted."""
    flags = loop.LO_FLAGS_AUTOCLEAR
    flags |= loop.LO_FLAGS_READ_ONLY if read_only else 0
    flags |= loop.LO_FLAGS_DIRECT_IO if direct_io else 0
    device, descriptor = loop.attach(path, flags)
    try:
        yield device
    finally:
        os.close(descriptor)
