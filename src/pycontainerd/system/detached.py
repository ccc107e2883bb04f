"""A place for files that ends with the process that has it, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainerd.system import mount


@contextmanager
def vanishing_directory() -> Iterator[str]:
    """A directory in memory that is mounted nowhere: a descriptor of this process alone holds it; see fsmount(2).

    Its path works for children as well, as long as this process has it open. Raises OSError.
    """
    context = mount.fsopen("tmpfs")
    try:
        mount.fsconfig(context, mount.FSCONFIG_SET_STRING, "mode", "0700")
        mount.fsconfig(context, mount.FSCONFIG_CMD_CREATE)
        place = mount.fsmount(context)
    finally:
        os.close(context)
    try:
        yield f"/proc/{os.getpid()}/fd/{place}"
    finally:
        os.close(place)
