"""What snapshots take of the disk: ours and stock count the same, on file systems that share blocks and on others."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pycontainerd.system.syncfs import syncfs
from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.snapshots.drivers import Snapshotter

SIZE = "320M"
MAKE = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"]}


@dataclass
class Disk:
    """A file system on which both daemons keep their snapshots."""

    type: str
    place: Path
    daemons: Mapping[Kind, Daemon]

    def free(self) -> int:
        """Bytes, after all that was written has been."""
        syncfs(str(self.place))
        found = os.statvfs(self.place)
        return found.f_bfree * found.f_frsize


@contextmanager
def mounted(type_: str, place: Path) -> Iterator[None]:
    """A new file system at *place*, in a file beside it."""
    image = place.with_suffix(".img")
    place.mkdir()
    subprocess.run(["truncate", "-s", SIZE, image], check=True)
    subprocess.run([*MAKE[type_], image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
        image.unlink()


@pytest.fixture(scope="module", params=list(MAKE))
def disk(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Disk]:
    place = session_base / f"usage-{request.param}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        stack.enter_context(mounted(request.param, place))
        daemons = {kind: stack.enter_context(started(kind, session_base, place)) for kind in (STOCK, OURS)}
        yield Disk(request.param, place, daemons)


def started(kind: Kind, base: Path, place: Path) -> AbstractContextManager[Daemon]:
    roots = "".join(
        f"[plugins.'io.containerd.snapshotter.v1.{name}']\nroot_path = '{place}/{kind}-{name}'\n"
        for name in ("overlayfs", "native")
    )
    return Daemon.start(kind, base / f"usage-of-{kind}", config=roots)


def first(root: Path) -> None:
    (root / "small").write_bytes(b"x" * 100)
    (root / "large").write_bytes(os.urandom(300_000))
    with (root / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 20)
        file.write(b"end")
    (root / "many").mkdir()
    for number in range(300):
        (root / "many" / f"a rather long name of a file {number:04}").touch()
    (root / "linked").mkdir()
    (root / "linked/a").write_bytes(b"l" * 10_000)
    os.link(root / "linked/a", root / "b")
    os.link(root / "linked/a", root / "linked/c")
    (root / "short").symlink_to("target")
    (root / "long").symlink_to("target" * 100)
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr(root / "small", "user.key", b"v" * 700)


def second(root: Path) -> None:
    (root / "small").unlink()
    shutil.rmtree(root / "many")
    (root / "many").mkdir()
    (root / "many/new").write_bytes(b"n" * 5_000)
    (root / "sparse").chmod(0o600)
    os.link(root / "b", root / "d")
    (root / "linked/a").unlink()


def figures(snapshotter: Snapshotter) -> dict[str, tuple[int, int]]:
    """Size and inodes of snapshots in each of their states."""
    found = {}

    def measure(key: str) -> None:
        usage = snapshotter.usage(key)
        found[key] = (usage.size, usage.inodes)

    def grow(name: str, parent: str, change: Callable[[Path], None]) -> None:
        with snapshotter.mounted(snapshotter.prepare(f"{name}-active", parent)) as root:
            change(root)
            syncfs(str(root))  # until then, file systems count what they might need
        measure(f"{name}-active")
        snapshotter.commit(name, f"{name}-active")
        measure(name)

    grow("first", "", first)
    grow("second", "first", second)
    grow("third", "second", lambda root: None)
    for view, parent in (("view of none", ""), ("view", "third")):
        snapshotter.view(view, parent)
        measure(view)
    return found


@pytest.mark.parametrize("name", ["overlayfs", "native"])
def test_both_count_the_same(disk: Disk, name: str, scratch: Path) -> None:
    counted = {}
    for kind, daemon in disk.daemons.items():
        with over_socket(daemon.address) as asker:
            (scratch / str(kind)).mkdir()
            counted[kind] = figures(Snapshotter(asker, name, f"usage-{scratch.name}", scratch / str(kind)))
    assert counted[OURS] == counted[STOCK]


def test_a_native_copy_shares_blocks_where_the_file_system_can(disk: Disk, scratch: Path) -> None:
    size = 8 << 20
    with over_socket(disk.daemons[OURS].address) as asker:
        snapshotter = Snapshotter(asker, "native", f"shared-{scratch.name}", scratch)
        snapshotter.layer("base", "", lambda root: (root / "file").write_bytes(os.urandom(size)))
        before = disk.free()
        with snapshotter.mounted(snapshotter.prepare("copy", "base")) as root:
            taken = before - disk.free()
            assert (root / "file").stat().st_size == size
            assert (taken < size // 4) == (disk.type == "xfs")
            # What is shared is a copy all the same.
            with (root / "file").open("r+b") as file:
                file.write(b"changed")
        with snapshotter.mounted(snapshotter.view("view", "base")) as root:
            assert (root / "file").read_bytes()[:7] != b"changed"
