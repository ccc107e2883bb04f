"""What a virtual machine boots: Debian's cloud kernel, a small initramfs, and a system image with this checkout.

The system is made of Debian packages, which the set-up has unpacked, of the stock peers, and of this checkout with its
virtual environment. It is an ext4 image, since that needs no module. Nothing of it is kept between sessions: it takes
seconds.

The checkout and its environment lie below `/host` in the image, and are bound to their own paths after all that is
mounted in the guest: so it does not matter where on the host they are. Either of two programs is the guest's first:
PLAIN, a script, or SYSTEMD, of whose units only those start that the agent needs.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness import peers
from tests.vm import initramfs

CHECKOUT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = Path(sys.prefix)
HOST: Final = "/host"
PLAIN: Final = "/sbin/plain-init"
SYSTEMD: Final = "/lib/systemd/systemd"
PEERS: Final = ("runc", "ctr", "containerd", "containerd-shim-runc-v2")
XFS: Final = "/modules"
"""Where the modules lie that xfs needs, numbered in the order in which they are loaded."""

UNUSED: Final = shutil.ignore_patterns("*perl*", "gconv", "dpkg", "*.wants", "system-generators")
"""Of the Debian packages: big things, and what makes systemd start more than it is told to."""

TOOLS: Final = frozenset(("ast_serialize", "grpc_tools", "hatchling", "mypy", "mypyc", "pip", "ruff", "setuptools"))
"""Python packages that only the build and the checkers need."""

AGENT: Final = f"""#!/bin/sh
for place in '{CHECKOUT}' '{ENVIRONMENT}'; do mkdir -p "$place"; mount --bind "{HOST}$place" "$place"; done
ip link set lo up
exec python3 -ISBu /usr/lib/agent.py
"""

FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nmessagebus:x:100:\n",
    # Without one, systemd takes the boot for the first, and enables all units.
    "etc/machine-id": f"{1:032x}\n",
    "etc/systemd/system/agent.service": """[Unit]
Requires=dbus.socket
After=dbus.socket
[Service]
ExecStart=/sbin/agent
Environment=PATH=/usr/bin:/usr/sbin
StandardOutput=tty
TTYPath=/dev/console
TasksMax=infinity
""",
    "etc/systemd/system/default.target": "[Unit]\nRequires=agent.service\n",
}

PROGRAMS: Final = {
    "sbin/agent": AGENT,
    PLAIN.lstrip("/"): """#!/bin/sh
PATH=/usr/bin:/usr/sbin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
for place in /dev/shm /run; do mount -t tmpfs tmpfs $place; done
/sbin/agent  # the shell waits for it, and reaps what else ends
reboot -f
""",
}


@dataclass(frozen=True, slots=True)
class Image:
    """The files that a virtual machine is started with."""

    kernel: Path
    directory: Path

    @property
    def initramfs(self) -> Path:
        return self.directory / "initramfs"

    @property
    def system(self) -> Path:
        return self.directory / "system.ext4"


def built(directory: Path) -> Image:
    """The image that `build` has made in *directory*."""
    return Image(_guest("kernel/boot/vmlinuz-*"), directory)


def build(directory: Path) -> Image:
    """Makes an image in *directory*. Raises FileNotFoundError if the set-up has not brought what it needs."""
    image = built(directory)
    directory.mkdir(exist_ok=True)
    kernel = _guest("kernel/lib/modules/*")
    image.initramfs.write_bytes(initramfs.archive(kernel, _guest("system/bin/busybox")))
    tree = directory / "system"
    _fill(tree)
    (tree / XFS.lstrip("/")).mkdir()
    for name, content in initramfs.modules(kernel, "xfs").items():
        (tree / XFS.lstrip("/") / name).write_bytes(content)
    _pack(tree, image.system)
    shutil.rmtree(tree)
    return image


def _guest(pattern: str) -> Path:
    """What the set-up has unpacked for virtual machines."""
    found = sorted((peers.CACHE / "guest").glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {pattern} in {peers.CACHE}/guest: run scripts/setup --tests")
    return found[-1]


def _fill(tree: Path) -> None:
    shutil.copytree(_guest("system"), tree, symlinks=True, ignore=UNUSED)
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "mnt"):
        (tree / name).mkdir()
    for name, text in {**FILES, **PROGRAMS}.items():
        (tree / name).write_text(text)
        (tree / name).chmod(0o755 if name in PROGRAMS else 0o644)
    shutil.copy(Path(__file__).with_name("agent.py"), tree / "usr/lib")
    busybox = tree / "usr/bin/busybox"
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if not any(os.path.lexists(tree / "usr" / place / applet) for place in ("bin", "sbin")):
            (tree / "usr/bin" / applet).symlink_to("busybox")
    for name in PEERS:
        place = _inside(tree, peers.stock(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(peers.stock(name), place)
    _fill_host(tree / HOST.lstrip("/"))


def _fill_host(host: Path) -> None:
    """The virtual environment and the sources, compiled, since compiling is what a slow machine must not do."""
    packages = Path(sysconfig.get_path("purelib"))

    def unused(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(directory) == packages and (name in TOOLS or "mypyc" in name)}

    shutil.copytree(packages, _inside(host, packages), ignore=unused)
    shutil.copytree(ENVIRONMENT / "bin", _inside(host, ENVIRONMENT / "bin"), symlinks=True, ignore=_large)
    shutil.copy(ENVIRONMENT / "pyvenv.cfg", _inside(host, ENVIRONMENT))
    for name in ("src", "tests", "scripts"):
        place = _inside(host, CHECKOUT / name)
        shutil.copytree(CHECKOUT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(
            place,
            quiet=2,
            stripdir=host,
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    shutil.copy(CHECKOUT / "pyproject.toml", _inside(host, CHECKOUT))


def _large(directory: str, names: list[str]) -> set[str]:
    """Checkers, which are programs of their own; the interpreters are links."""
    return {
        name
        for name in names
        if os.path.getsize(os.path.join(directory, name)) > 1_000_000 and not name.startswith("py")
    }


def _inside(tree: Path, path: Path) -> Path:
    return tree / str(path).lstrip("/")


def _pack(tree: Path, image: Path) -> None:
    size = sum(
        max(os.lstat(os.path.join(place, name)).st_size, 4096) for place, _, names in os.walk(tree) for name in names
    )
    with image.open("wb") as file:
        file.truncate((size * 5 // 4 >> 20) + 16 << 20)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(tree), str(image)]
    subprocess.run(command, check=True)
