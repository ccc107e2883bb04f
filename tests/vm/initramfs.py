"""What the kernel of a virtual machine starts first: busybox, the modules that it needs, and a script.

The script mounts the system's image read-only, with an overlay in memory on top, and starts the program there that the
kernel's command line names (`init=`).
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MODULES: Final = ("virtio_pci", "virtio_blk", "virtio_console", "overlay")
INIT: Final = """#!/bin/busybox sh
set -e
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t proc proc /proc
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in init=*) init=${word#init=} ;; esac
done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.05; done
/bin/busybox mount -o ro /dev/vda /lower
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir /upper/files /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /system
/bin/busybox mount --move /dev /system/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /system $init
"""


def archive(kernel: Path, busybox: Path) -> bytes:
    """A cpio archive (newc, see the kernel's initramfs-buffer-format); *kernel* is a directory below lib/modules."""
    members: list[tuple[str, int, bytes]] = [
        (name, 0o040755, b"") for name in ("bin", "dev", "lower", "modules", "proc", "system", "upper")
    ]
    members += [("init", 0o100755, INIT.encode()), ("bin/busybox", 0o100755, busybox.read_bytes())]
    members += [(f"modules/{name}", 0o100644, content) for name, content in modules(kernel, *MODULES).items()]
    joined = b"".join(_member(number, *member) for number, member in enumerate(members, 1))
    return joined + _member(0, "TRAILER!!!", 0, b"")


def modules(kernel: Path, *names: str) -> Mapping[str, bytes]:
    """The modules *names*, each after those that it needs; numbered, so that a script can load them in order."""
    files = {re.sub(r"\.ko.*", "", path.name).replace("-", "_"): path for path in kernel.glob("kernel/**/*.ko*")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in files:
            return  # built in
        content = _module(files[name])
        # No depmod has run, but a module says itself what it needs.
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for need in needs[1].decode().split(",") if needs else []:
            load(need.replace("-", "_"))
        loaded[name] = content

    for name in names:
        load(name)
    return {f"{number:02}-{name}.ko": content for number, (name, content) in enumerate(loaded.items())}


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def _member(number: int, name: str, mode: int, content: bytes) -> bytes:
    stored = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(stored), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + stored
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)
