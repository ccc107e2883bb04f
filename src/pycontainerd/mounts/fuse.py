"""Types `fuse.X` and `fuse3.X`: the file system is a program that `mount.fuse` starts."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.mounts.model import Mount
from pycontainerd.system import output
from pycontainerd.system.mountinfo import read_mountinfo

_ATTEMPTS: Final = 10


def mount(mount: Mount, target: str) -> None:
    """Runs `mount.fuse[3] <source> <target> -o <option>… -t <X>`. Raises Unknown with what it said."""
    helper, _, type_ = mount.type.partition(".")
    arguments = [f"mount.{helper}", mount.source, target]
    for option in mount.options:
        arguments += ["-o", option]
    arguments += ["-t", type_]
    for _ in range(_ATTEMPTS):
        try:
            result = output.run(arguments, merge=True)
        except ChildProcessError:
            continue  # somebody else reaps every child of this process: how it ended can't be known
        if result.status:
            text = result.stdout.decode(errors="replace")
            raise Unknown(f"mount helper [{' '.join(arguments)}] failed: {text!r}: exit status {result.status}")
        return
    raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD), arguments[0])


def unmount(target: str) -> bool:
    """Unmounts a fuse file system by its helper, which also ends the server. Whether there was something to do."""
    type_ = ""
    for info in read_mountinfo():
        if info.mount_point == target:
            type_ = info.type
    if not type_.startswith("fuse"):
        return False
    for helper in ("fusermount3", "fusermount"):
        if shutil.which(helper):
            return output.run([helper, "-u", target], merge=True).status == 0
    return False
