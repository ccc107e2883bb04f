"""Directories of a root, found and made without leaving it."""

from __future__ import annotations

import errno
import os
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.diff import tree
from pycontainerd.diff.extraction import times
from pycontainerd.diff.tar import header
from tests.unit.diff.archives import NAMES, Member, Root, directory, symlink


@given(st.one_of(NAMES, NAMES.map(lambda name: f"./{name}"), NAMES.map(lambda name: f"/{name}/")))
def test_a_clean_path_is_the_normal_one_below_the_root(name: str) -> None:
    normal = posixpath.normpath("/" + name).lstrip("/")
    assert tree.clean(name.encode()).decode() == normal


@pytest.fixture
def root(scratch: Path) -> Iterator[tuple[Path, int]]:
    descriptor = os.open(scratch, os.O_RDONLY)
    yield scratch, descriptor
    os.close(descriptor)


def test_walking_resolves_links_as_if_the_root_were_all(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "a").mkdir()
    (path / "a" / "up").symlink_to("../../../b")
    (path / "absolute").symlink_to("/a/up/c")
    assert tree.walk(descriptor, b"absolute/d/../e") == [b"b", b"c", b"e"]


def test_links_in_a_circle_end(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "one").symlink_to("two")
    (path / "two").symlink_to("one")
    with pytest.raises(OSError, match="one") as error:
        tree.walk(descriptor, b"one/x")
    assert error.value.errno == errno.ELOOP


def test_a_tree_deeper_than_a_path_can_say_is_removed(root: tuple[Path, int]) -> None:
    path, descriptor = root
    current = os.open(path, os.O_RDONLY)
    for number in range(3000):
        name = f"{number:0>200}" if number else "deep"
        os.mkdir(name, dir_fd=current)
        inner = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(current)
        current = inner
    os.close(current)
    assert tree.remove(descriptor, b"deep")
    assert os.listdir(path) == []


def test_removing_follows_no_link(root: tuple[Path, int]) -> None:
    path, descriptor = root
    (path / "kept").mkdir()
    (path / "kept" / "file").write_text("")
    (path / "goes" / "sub").mkdir(parents=True)
    (path / "goes" / "link").symlink_to("../kept")
    (path / "goes" / "sub" / "link").symlink_to(path / "kept")
    tree.remove(descriptor, b"goes")
    assert not tree.remove(descriptor, b"goes")
    assert os.listdir(path) == ["kept"]
    assert os.listdir(path / "kept") == ["file"]


def test_a_parent_that_is_replaced_is_looked_up_again(scratch: Path) -> None:
    """Descriptors of directories are kept: what they are called may change under them."""
    root = Root(scratch, overlay=False)
    root.extract(
        [
            directory("one"), directory("two"), symlink("link", "one"), Member("link/first"),
            symlink("link", "two"), Member("link/second"), Member("one/third"), Member("one", data=b"file now"),
            Member(".wh.two"), Member("two/fourth"),
        ]
    )  # fmt: skip
    assert (scratch / "one").read_bytes() == b"file now"
    assert os.listdir(scratch / "two") == ["fourth"]


def test_more_directories_than_are_kept_open(scratch: Path) -> None:
    names = [f"d{number % 450}/f{number}" for number in range(900)]
    before = len(os.listdir("/proc/self/fd"))
    Root(scratch, overlay=True).extract([Member(name) for name in names])
    assert {str(path.relative_to(scratch)) for path in scratch.rglob("f*")} == set(names)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("overlay", [True, False])
def test_the_parent_of_a_directory_may_become_a_link_to_itself(scratch: Path, *, overlay: bool) -> None:
    Root(scratch, overlay=overlay).extract([directory("a/a"), symlink("a", "a"), Member("b")])
    assert os.readlink(scratch / "a") == "a"
    assert (scratch / "b").exists()


def test_an_opaque_directory_keeps_what_its_own_layer_brought(scratch: Path) -> None:
    root = Root(scratch, overlay=False)
    root.extract([Member("d/old"), Member("d/sub/old"), Member("d/mine/old")])
    root.extract([Member("d/new"), directory("d/mine"), Member("d/mine/new"), Member("d/.wh..wh..opq")])
    assert {str(path.relative_to(scratch)) for path in scratch.rglob("*")} == {"d", "d/new", "d/mine", "d/mine/new"}


def test_an_opaque_directory_may_be_deeper_than_functions_can_call_each_other(scratch: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    paths = ["d" + "/a" * level for level in range(depth)]
    root = Root(scratch, overlay=False)
    root.extract([Member(f"{paths[-1]}/old")])
    root.extract([*(directory(path) for path in paths), Member(f"{paths[-1]}/new"), Member("d/.wh..wh..opq")])
    assert os.listdir(scratch / paths[-1]) == ["new"]
    root.extract([Member(".wh.d")])  # what clears up after us can't go so deep
    assert os.listdir(scratch) == []


@pytest.mark.parametrize(
    ("atime", "mtime", "wanted"),
    [
        (None, 5, (5, 5)),
        (7, 5, (7, 5)),
        (3, 5, (5, 5)),
        (None, -1, (0, 0)),
        (1 << 63, 5, (0, 5)),
        (None, (1 << 63) - 1, ((1 << 63) - 1, (1 << 63) - 1)),
        (None, 1 << 63, (0, 0)),
    ],
)
def test_times_are_bounded_and_access_is_the_later_one(atime: int | None, mtime: int, wanted: tuple[int, int]) -> None:
    entry = header.parse(header.build(b"x", header.REGULAR, b"", 0, 0)).entry
    entry.atime_ns, entry.mtime_ns = atime, mtime
    assert times(entry) == wanted
