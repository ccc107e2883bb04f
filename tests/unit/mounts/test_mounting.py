"""Mounts on the kernel; mountinfo and the files say what came of them."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycontainerd.errors import InvalidArgument
from pycontainerd.mounts import Mount, mounting, temporary
from pycontainerd.system.mountinfo import MountInfo, read_mountinfo


def at(target: Path) -> list[MountInfo]:
    return [info for info in read_mountinfo() if info.mount_point == str(target)]


@contextmanager
def mounted(target: Path, *mounts: Mount) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    mounting.mount_all(mounts, str(target))
    try:
        yield target
    finally:
        mounting.unmount_recursive(str(target))
        assert at(target) == []


@pytest.fixture
def source(scratch: Path) -> Path:
    directory = scratch / "source"
    directory.mkdir()
    (directory / "file").write_text("here")
    return directory


def bind(source: Path, *options: str, target: str = "") -> Mount:
    return Mount("bind", str(source), target, ("rbind", *options))


def test_a_bind_shows_its_source(scratch: Path, source: Path) -> None:
    with mounted(scratch / "t", bind(source, "rw")) as target:
        assert (target / "file").read_text() == "here"
        (target / "new").write_text("")
    assert (source / "new").exists()


def test_a_read_only_bind_refuses_to_be_written(scratch: Path, source: Path) -> None:
    with mounted(scratch / "t", bind(source, "ro", "nosuid")) as target:
        with pytest.raises(OSError, match="new") as error:
            (target / "new").write_text("")
        assert error.value.errno == errno.EROFS
        assert {"ro", "nosuid"} <= set(at(target)[0].options.split(","))
    (source / "still-writable").write_text("")


@pytest.mark.parametrize(("option", "mark"), [("private", ""), ("shared", "shared:"), ("rslave", "")])
def test_propagation_is_what_was_asked_for(scratch: Path, source: Path, option: str, mark: str) -> None:
    with mounted(scratch / "t", bind(source, option)) as target:
        propagation = at(target)[0].propagation
        assert propagation.startswith(mark) if mark else "shared" not in propagation


def test_a_failure_takes_what_was_mounted_before_it_away(scratch: Path, source: Path) -> None:
    (scratch / "t").mkdir()
    with pytest.raises(FileNotFoundError):
        mounting.mount_all([bind(source), bind(scratch / "missing")], str(scratch / "t"))
    assert at(scratch / "t") == []


def test_a_target_below_stays_inside(scratch: Path, source: Path) -> None:
    (source / "inside").mkdir()
    (scratch / "outside").mkdir()
    (source / "link").symlink_to("../outside")
    (source / "absolute").symlink_to("/inside")
    with mounted(scratch / "t", bind(source), bind(source, target="/absolute")) as target:
        assert at(target / "inside") != []
        mounting.unmount_mounts([bind(source, target="absolute")], str(target))
        assert at(target / "inside") == []
        with pytest.raises(FileNotFoundError):
            mounting.mount_one(bind(source, target="link"), str(target))
    assert at(scratch / "outside") == []


def overlay(scratch: Path, layers: int, *more: str) -> Mount:
    lower = []
    for number in range(layers):
        directory = scratch / "a-directory-with-a-long-name" / str(number) / "fs"
        directory.mkdir(parents=True)
        (directory / f"file{number}").write_text("")
        lower.append(str(directory))
    for name in ("upper", "work"):
        (scratch / name).mkdir()
    options = (f"workdir={scratch}/work", f"upperdir={scratch}/upper", f"lowerdir={':'.join(lower)}", "index=off")
    return Mount("overlay", "overlay", options=(*options, *more))


@pytest.mark.parametrize("threads", [1, 2], ids=["alone", "with a thread"])
def test_128_layers_are_mounted_and_nobody_moves(scratch: Path, threads: int) -> None:
    mount = overlay(scratch, 128)
    before = os.getcwd()
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    if threads > 1:
        other.start()
    try:
        with mounted(scratch / "t", mount) as target:
            assert len(os.listdir(target)) == 128
            assert os.getcwd() == before
    finally:
        over.set()
        if threads > 1:
            other.join()


def test_data_that_is_too_long_even_then_is_refused(scratch: Path) -> None:
    with pytest.raises(InvalidArgument, match="mount options is too long"):
        mounting.mount_all([Mount("overlay", "overlay", options=("x" * 5000,))], str(scratch))


def test_a_file_is_mounted_through_a_loop_device_that_ends_with_it(scratch: Path) -> None:
    image = scratch / "image"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(scratch / "t", Mount("ext4", str(image), options=("loop", "ro"))) as target:
        assert os.listdir(target) == ["lost+found"]
        device = at(target)[0].source
        backing = Path(f"/sys/block/{os.path.basename(device)}/loop/backing_file")
        assert backing.read_text().strip() == str(image)
    assert not backing.exists() or backing.read_text().strip() != str(image)


def test_an_id_mapped_bind_shows_other_owners(scratch: Path, source: Path) -> None:
    mapping = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")
    with mounted(scratch / "t", bind(source, *mapping)) as target:
        state = (target / "file").stat()
    assert (state.st_uid, state.st_gid) == (100000, 200000)


@pytest.mark.parametrize("layers", [1, 2, 128])
def test_the_lower_layers_of_an_id_mapped_overlay_show_other_owners(scratch: Path, layers: int) -> None:
    mapping = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")
    with mounted(scratch / "t", overlay(scratch, layers, *mapping)) as target:
        state = (target / "file0").stat()
    assert (state.st_uid, state.st_gid) == (100000, 200000)
    assert not any("ovl-idmapped" in info.mount_point for info in read_mountinfo())


def test_half_a_mapping_is_refused(scratch: Path, source: Path) -> None:
    with pytest.raises(InvalidArgument, match="both"):
        mounting.mount_all([bind(source, "uidmap=0:1:1")], str(scratch))


def test_stacked_mounts_go_all_at_once(scratch: Path, source: Path) -> None:
    target = scratch / "t"
    target.mkdir()
    for _ in range(3):
        mounting.mount_all([bind(source)], str(target))
    mounting.unmount_all(str(target))
    assert at(target) == []
    mounting.unmount_all(str(target))
    mounting.unmount_all(str(scratch / "nothing"))


def test_a_busy_mount_is_waited_for(scratch: Path, source: Path) -> None:
    (scratch / "t").mkdir()
    mounting.mount_all([Mount("tmpfs", "tmpfs")], str(scratch / "t"))
    held = os.open(scratch / "t", os.O_RDONLY)
    timer = threading.Timer(0.1, os.close, [held])
    timer.start()
    mounting.unmount(str(scratch / "t"))
    timer.join()
    assert at(scratch / "t") == []


def test_a_temporary_mount_leaves_nothing(scratch: Path, source: Path) -> None:
    parent = scratch / "tmpmounts"
    parent.mkdir()
    with temporary.temporary([bind(source)], str(parent)) as target:
        assert os.path.basename(target).startswith("containerd-mount")
        assert os.listdir(target) == ["file"]
    assert os.listdir(parent) == []
    with pytest.raises(FileNotFoundError), temporary.temporary([bind(scratch / "missing")], str(parent)):
        pass
    assert os.listdir(parent) == []


def test_what_a_crash_left_is_removed(scratch: Path, source: Path) -> None:
    parent = scratch / "tmpmounts"
    (parent / "containerd-mount123").mkdir(parents=True)
    (parent / "another").mkdir()
    mounting.mount_all([bind(source)], str(parent / "containerd-mount123"))
    temporary.remove_stale(str(parent))
    assert os.listdir(parent) == ["another"]
    assert (source / "file").exists()


def test_fuse_goes_through_its_helper(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / "mount.fuse3").write_text('#!/bin/sh\necho "$@" > "$0.said"; echo broken >&2; exit 5\n')
    (scratch / "mount.fuse3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{scratch}:{os.environ['PATH']}")
    with pytest.raises(Exception, match=r"mount helper .* failed: 'broken\\n': exit status 5"):
        mounting.mount_one(Mount("fuse3.sshfs", "host:", options=("ro", "idmap=user")), "/target")
    assert (scratch / "mount.fuse3.said").read_text() == "host: /target -o ro -o idmap=user -t sshfs\n"
