"""What a virtual machine boots: Debian's cloud kernel, a small initramfs, and a system image with this checkout.

The system is made of files of installed Debian packages (Python, busybox, shared libraries), of the Python packages of
this virtual environment and the sources of this checkout, at their own paths, and of the stock peers. It is an ext4
image, since that needs no module; the guest mounts it read-only, with an overlay in memory on top. Nothing of it is
kept between sessions: it takes seconds.

The checkout and its virtual environment lie below `/host` in the image, and are bound to their own paths after all that
is mounted in the guest: so it does not matter where on the host they are.
"""

from __future__ import annotations

import compileall
import lzma
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness import peers

CHECKOUT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = Path(sys.prefix)
PYTHON: Final = Path(os.path.realpath(sys.executable))
HOST: Final = "/host"
AGENT: Final = "/usr/lib/agent.py"
MODULES: Final = ("virtio_pci", "virtio_blk", "virtio_console", "overlay")
LATER: Final = ("xfs",)
"""Modules that lie in the system's /modules, in the order in which they are loaded, for who needs them."""

PROGRAMS: Final = (PYTHON, Path("/bin/busybox"), Path("/bin/ip"))
PEERS: Final = ("runc", "ctr", "containerd", "containerd-shim-runc-v2")
UNUSED: Final = frozenset(("ast_serialize", "grpc_tools", "hatchling", "mypy", "mypyc", "pip", "ruff", "setuptools"))
"""Packages that only the build and the checkers need."""

INIT: Final = """#!/bin/busybox sh
set -e
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t proc proc /proc
until [ -b /dev/vda ]; do /bin/busybox sleep 0.05; done
/bin/busybox mount -o ro /dev/vda /lower
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir /upper/files /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /system
/bin/busybox mount --move /dev /system/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /system /sbin/init
"""

START: Final = f"""#!/bin/busybox sh
PATH=/usr/local/bin:/usr/bin:/bin:/sbin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
for place in /dev/shm /run; do mount -t tmpfs tmpfs $place; done
for place in '{CHECKOUT}' '{ENVIRONMENT}'; do mkdir -p "$place"; mount --bind "{HOST}$place" "$place"; done
ip link set lo up
{PYTHON} -ISBu {AGENT}  # the shell waits for it, and reaps what else ends
reboot -f
"""


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
    return Image(_only("boot/vmlinuz-*"), directory)


def build(directory: Path) -> Image:
    """Makes an image in *directory*. Raises FileNotFoundError if the set-up has not brought the kernel."""
    image = built(directory)
    directory.mkdir(exist_ok=True)
    first, later = _with_needs(_only("lib/modules/*"))
    image.initramfs.write_bytes(_initramfs(first))
    tree = directory / "system"
    _fill(tree)
    for name, content in later.items():
        (tree / "modules" / name).write_bytes(content)
    _pack(tree, image.system)
    shutil.rmtree(tree)
    return image


def _only(pattern: str) -> Path:
    """The file of the guest's kernel that is there."""
    found = sorted((peers.CACHE / "kernel").glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {pattern} in {peers.CACHE}/kernel: run scripts/setup --tests")
    return found[-1]


# --- the initramfs


def _initramfs(modules: Mapping[str, bytes]) -> bytes:
    """A cpio archive (newc, see the kernel's initramfs-buffer-format) with busybox and the modules in order."""
    members: list[tuple[str, int, bytes]] = [
        (name, 0o040755, b"") for name in ("bin", "dev", "lower", "modules", "proc", "system", "upper")
    ]
    members += [("init", 0o100755, INIT.encode()), ("bin/busybox", 0o100755, Path("/bin/busybox").read_bytes())]
    members += [(f"modules/{name}", 0o100644, content) for name, content in modules.items()]
    archive = b"".join(_member(number, *member) for number, member in enumerate(members, 1))
    return archive + _member(0, "TRAILER!!!", 0, b"")


def _member(number: int, name: str, mode: int, content: bytes) -> bytes:
    stored = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(stored), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + stored
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)


def _with_needs(modules: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The modules for the initramfs and those for later, each after its needs. (No depmod has run: modules say it.)"""
    files = {re.sub(r"\.ko.*", "", path.name).replace("-", "_"): path for path in modules.glob("kernel/**/*.ko*")}
    loaded: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in loaded or name not in files:
            return  # built in
        content = _module(files[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for need in needs[1].decode().split(",") if needs else []:
            load(need.replace("-", "_"))
        loaded[name] = content

    for name in (*MODULES, *LATER):
        load(name)
    named = {f"{number:02}-{name}.ko": content for number, (name, content) in enumerate(loaded.items())}
    first = list(loaded).index(MODULES[-1]) + 1
    return dict(list(named.items())[:first]), dict(list(named.items())[first:])


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


# --- the system


def _fill(tree: Path) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc", "proc", "sys", "run", "tmp", "var", "root", "mnt", "modules"):
        (tree / name).mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    standard = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        standard, _inside(tree, standard), ignore=shutil.ignore_patterns("test", "idlelib", "tkinter", "config-*")
    )
    programs = [*PROGRAMS, *(peers.stock(name) for name in PEERS)]
    for program in programs:
        _copy(program, tree)
    for applet in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
        if not (tree / "usr/bin" / applet).exists():
            (tree / "usr/bin" / applet).symlink_to("busybox")
    (tree / "usr/bin/python3").symlink_to(PYTHON.name)
    (tree / "sbin/init").write_text(START)
    (tree / "sbin/init").chmod(0o755)
    shutil.copy(Path(__file__).with_name("agent.py"), tree / AGENT.lstrip("/"))
    _fill_packages(tree)
    _fill_libraries(tree, programs)


def _fill_packages(tree: Path) -> None:
    """The virtual environment and the sources, compiled, since compiling is what a slow machine must not do."""
    host = tree / HOST.lstrip("/")
    packages = Path(sysconfig.get_path("purelib"))

    def unused(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(directory) == packages and (name in UNUSED or "mypyc" in name)}

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


def _fill_libraries(tree: Path, programs: list[Path]) -> None:
    """What the programs and the extension modules are linked with."""
    extensions = [path for path in tree.rglob("*.so") if path.is_file()]
    done = subprocess.run(["ldd", *programs, *extensions], capture_output=True, text=True, check=False)
    for library in sorted(set(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", done.stdout, re.MULTILINE))):
        if not library.startswith(str(tree)):
            _copy(Path(library), tree)


def _copy(path: Path, tree: Path) -> None:
    """Copies what *path* is, to where it is: directories may be links there as on Debian."""
    place = _inside(tree, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copy(path, place)


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
