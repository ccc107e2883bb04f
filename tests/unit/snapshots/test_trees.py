"""Whole trees: measured, copied and removed, whatever lies in them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from pycontainerd.mounts.model import Mount
from pycontainerd.mounts.mounting import mount_all, unmount
from pycontainerd.snapshots import trees


def fill(root: Path) -> None:
    """A tree with everything that a layer may hold."""
    (root / "d/e").mkdir(parents=True)
    (root / "d/file").write_bytes(b"x" * 10_000)
    os.link(root / "d/file", root / "link")
    os.link(root / "d/file", root / "d/e/link")
    (root / "sym").symlink_to("/etc/passwd")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    os.mknod(root / "dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (root / b"\xff\xfe".decode(errors="surrogateescape")).write_text("odd name")
    (root / "suid").write_text("s")
    os.chown(root / "suid", 5, 6)
    (root / "suid").chmod(0o6711)
    os.setxattr(root / "d/file", "user.a", b"1")
    os.setxattr(root / "d", "user.b", b"2")
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 20)
    os.utime(root / "d/file", ns=(10**18, 10**18 + 1))
    os.utime(root / "d", ns=(10**18, 10**18 + 2))


def listing(root: Path) -> str:
    """The tree as another program tells it: names, types, modes, owners, times, sizes, targets, numbers of links."""
    form = "%P|%y|%m|%U:%G|%T@|%s|%l|%n\n"
    done = subprocess.run(["find", root, "-printf", form], check=True, capture_output=True)
    lines = [line for line in done.stdout.decode(errors="surrogateescape").splitlines() if not line.startswith("|d")]
    return "\n".join(sorted(lines))


def test_usage_is_what_du_says(tmp_path: Path) -> None:
    fill(tmp_path)
    blocks = subprocess.run(["du", "-s", "-B1", tmp_path], check=True, capture_output=True, text=True).stdout.split()[0]
    inodes = subprocess.run(["du", "-s", "--inodes", tmp_path], check=True, capture_output=True, text=True)
    usage = trees.usage(str(tmp_path))
    assert (usage.size, usage.inodes) == (int(blocks), int(inodes.stdout.split()[0]))


def test_a_copy_is_the_tree_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o750)
    fill(source)
    trees.copy(str(source), str(target))
    assert listing(target) == listing(source)
    assert (target / "d/file").stat().st_ino == (target / "link").stat().st_ino == (target / "d/e/link").stat().st_ino
    assert os.getxattr(target / "d/file", "user.a") == b"1"
    assert os.getxattr(target / "d", "user.b") == b"2"
    assert (target / "dev").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert (target / "d/file").read_bytes() == b"x" * 10_000


def test_a_removed_tree_is_gone_and_nothing_else(scratch: Path) -> None:
    (scratch / "outside").mkdir()
    (scratch / "outside/kept").write_text("kept")
    root = scratch / "root"
    root.mkdir()
    fill(root)
    (root / "out").symlink_to(scratch / "outside")
    (root / "d/e/up").symlink_to("../../../outside")
    trees.remove(str(root))
    assert sorted(os.listdir(scratch)) == ["outside"]
    assert (scratch / "outside/kept").read_text() == "kept"
    trees.remove(str(root))


def test_a_tree_may_be_deeper_than_a_path_is_long(scratch: Path) -> None:
    source, target = scratch / "deep", scratch / "copy"
    source.mkdir()
    top = os.open(source, os.O_RDONLY)
    fd = os.dup(top)
    for _ in range(3_000):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    os.close(top)
    assert trees.usage(str(source)).inodes == 3_002
    trees.copy(str(source), str(target))
    assert trees.usage(str(target)).inodes == 3_002
    trees.remove(str(source))
    trees.remove(str(target))
    assert os.listdir(scratch) == []


def test_wide_trees_take_few_descriptors(scratch: Path) -> None:
    root = scratch / "wide"
    for number in range(2_000):
        (root / f"{number}/x").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    for _ in trees.walk(str(root)):
        most = max(most, len(os.listdir("/proc/self/fd")) - before)
    assert most <= 2


def test_no_mount_is_entered(scratch: Path) -> None:
    (scratch / "other").mkdir()
    (scratch / "other/kept").write_text("kept")
    (scratch / "root/mounted").mkdir(parents=True)
    target = str(scratch / "root/mounted")
    mount_all([Mount("bind", str(scratch / "other"), "", ("rbind",))], target)
    try:
        with pytest.raises(OSError, match="cross-device") as refused:
            trees.remove(str(scratch / "root"))
        assert refused.value.errno == errno.EXDEV
    finally:
        unmount(target)
    assert (scratch / "other/kept").read_text() == "kept"


def test_a_directory_that_is_moved_away_ends_the_walk(scratch: Path) -> None:
    (scratch / "root/a/b").mkdir(parents=True)
    (scratch / "away").mkdir()
    steps = trees.walk(str(scratch / "root"))
    next(steps)
    assert next(steps)
    assert next(steps)
    (scratch / "root/a/b").rename(scratch / "away/b")
    with pytest.raises(OSError, match="moved") as refused:
        next(steps)
    assert refused.value.errno == errno.ESTALE


def test_what_vanishes_from_a_live_tree_does_not_matter(scratch: Path) -> None:
    (scratch / "root/a").mkdir(parents=True)
    steps = trees.walk(str(scratch / "root"), live=True)
    next(steps)
    (scratch / "root/a").rmdir()
    assert list(steps) == []


def test_holes_stay_holes_and_data_stays_where_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with (source / "file").open("wb") as file:
        for offset, data in ((0, b"begin"), (3 << 20, b"middle"), (7 << 20, b"end" * 100_000)):
            file.seek(offset)
            file.write(data)
        file.truncate(16 << 20)
    trees.copy(str(source), str(target))
    assert (target / "file").read_bytes() == (source / "file").read_bytes()
    assert trees.usage(str(target)).size < 1 << 20
