"""Bundles on disk: what is made, what is kept, and what a crash leaves."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.errors import Unknown
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.bundle import Bundle


@pytest.fixture
def bundle(scratch: Path) -> Bundle:
    return Bundle("ns", "c", str(scratch / "state" / "ns" / "c"), str(scratch / "root" / "ns" / "c"))


@pytest.fixture
def armed() -> Iterator[None]:
    yield
    faults._armed.clear()


def mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_bundle_has_the_entries_and_modes_of_the_original(bundle: Bundle) -> None:
    bundle.make()
    bundle.fill(b'{"ociVersion": "1"}', None)
    os.close(bundle.open_log())
    bundle.write_binary_path("/bin/shim")
    bundle.write_bootstrap(Bootstrap(3, "unix:///x", "ttrpc"))
    assert {name: oct(mode(bundle.file(name))) for name in os.listdir(bundle.path) if name != "work"} == {
        "config.json": "0o644",
        "rootfs": "0o711",
        "log": "0o700",
        "shim-binary-path": "0o600",
        "bootstrap.json": "0o644",
    }
    assert (mode(bundle.path), mode(os.path.dirname(bundle.path)), mode(bundle.work)) == (0o700, 0o711, 0o711)
    assert os.readlink(bundle.file("work")) == bundle.work
    assert Path(bundle.file("config.json")).read_bytes() == b'{"ociVersion": "1"}'


def test_the_root_group_of_a_mapped_container_may_enter(bundle: Bundle) -> None:
    bundle.make()
    bundle.fill(b"{}", 4711)
    assert (mode(bundle.path), os.stat(bundle.path).st_gid) == (0o710, 4711)


def test_what_was_written_is_read_again(bundle: Bundle) -> None:
    bundle.make()
    assert (bundle.read_bootstrap(), bundle.read_binary_path(), bundle.read_sandbox()) == (None, "", "")
    bundle.write_bootstrap(Bootstrap(3, "unix:///x", "ttrpc"))
    bundle.write_binary_path("/bin/shim")
    bundle.write_sandbox("pod")
    assert bundle.read_bootstrap() == Bootstrap(3, "unix:///x", "ttrpc")
    assert (bundle.read_binary_path(), bundle.read_sandbox()) == ("/bin/shim", "pod")


def test_a_bundle_that_exists_is_not_taken(bundle: Bundle) -> None:
    bundle.make()
    with pytest.raises(Unknown, match="file exists"):
        bundle.make()


def test_a_work_directory_of_an_earlier_task_is_emptied(bundle: Bundle) -> None:
    os.makedirs(os.path.join(bundle.work, "old"))
    bundle.make()
    bundle.fill(b"{}", None)
    assert os.listdir(bundle.work) == []


def test_a_deleted_bundle_leaves_nothing(bundle: Bundle) -> None:
    bundle.make()
    bundle.fill(b"{}", None)
    bundle.delete()
    assert os.listdir(os.path.dirname(bundle.path)) == os.listdir(os.path.dirname(bundle.work)) == []
    bundle.delete()


def test_a_rootfs_with_files_is_never_emptied_by_a_deletion(bundle: Bundle) -> None:
    bundle.make()
    bundle.fill(b"{}", None)
    kept = Path(bundle.rootfs, "precious")
    kept.touch()
    with pytest.raises(OSError, match="not empty"):
        bundle.delete()
    assert kept.exists()


@pytest.mark.usefixtures("armed")
@pytest.mark.parametrize("point", ["runtime.bundle.unmounted", "runtime.bundle.renamed"])
def test_a_deletion_that_was_cut_is_finished_by_the_next(bundle: Bundle, point: str) -> None:
    bundle.make()
    bundle.fill(b"{}", None)
    faults.arm(f"{point}:fail")
    with pytest.raises(OSError, match=point):
        bundle.delete()
    faults._armed.clear()
    if not os.path.exists(bundle.path):
        bundle.make()
    bundle.delete()
    assert os.listdir(os.path.dirname(bundle.path)) == []
