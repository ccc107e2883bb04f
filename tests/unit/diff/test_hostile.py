"""No layer reaches out of its root, whatever it holds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycontainerd.errors import Error
from tests.unit.diff.archives import Member, Root, archive, directory, hardlink, listing, members, symlink


@contextmanager
def beside_a_canary(*, overlay: bool) -> Iterator[tuple[Root, Path]]:
    """A root and, in the same directory, a tree that must stay as it is."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        canary = Path(base) / "canary"
        (canary / "a").mkdir(parents=True)
        (canary / "a" / "b").write_text("alive")
        (canary / "file").write_text("alive")
        root = Path(base) / "root"
        root.mkdir()
        yield Root(root, overlay), Path(base)


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "naive"])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers=st.lists(st.lists(members(), max_size=12), min_size=1, max_size=2))
def test_no_member_leaves_its_root(overlay: bool, layers: list[list[Member]]) -> None:
    with beside_a_canary(overlay=overlay) as (root, base):
        before = {path: facts for path, facts in listing(base).items() if not path.startswith("root")}
        for layer in layers:
            try:
                root.extract(layer)
            except Error:
                continue
        after = {path: facts for path, facts in listing(base).items() if not path.startswith("root")}
        assert after == before


@settings(max_examples=300, deadline=None)
@given(layer=st.lists(members(), min_size=1, max_size=4), data=st.data())
def test_a_damaged_archive_is_refused_or_extracted_never_anything_else(
    layer: list[Member], data: st.DataObject
) -> None:
    whole = bytearray(archive(layer))
    end = data.draw(st.integers(0, len(whole)))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with beside_a_canary(overlay=False) as (root, base):
        before = listing(base / "canary")
        with suppress(Error):
            root.extract_bytes(bytes(whole[:end]))
        assert listing(base / "canary") == before


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "naive"])
@pytest.mark.parametrize(
    "layer",
    [
        [Member("../canary/file", data=b"dead")],
        [Member("a/../../canary/file", data=b"dead")],
        [symlink("link", "../canary"), Member("link/file", data=b"dead")],
        [symlink("link", "/canary"), Member("link/file", data=b"dead")],
        [symlink("one", ".."), symlink("two", "one/canary"), Member("two/file", data=b"dead")],
        [symlink("link", "../canary"), Member("link/.wh.file")],
        [symlink("link", "../canary"), Member("link/.wh..wh..opq")],
        [hardlink("stolen", "../canary/file"), Member("stolen", data=b"dead")],
        [symlink("link", "../canary"), hardlink("stolen", "link/file")],
        [symlink("file", "../canary/file"), Member("file", data=b"dead")],
        [symlink("dir", "../canary"), directory("dir", 0o700, uid=7, mtime=1)],
        [directory("dir"), symlink("dir", "../canary"), Member("dir/file", data=b"dead")],
        [Member(".wh...")],
        [Member("a/.wh..")],
    ],
)
def test_a_known_way_out_is_closed(overlay: bool, layer: list[Member]) -> None:
    with beside_a_canary(overlay=overlay) as (root, base):
        before = listing(base / "canary")
        with suppress(Error):
            root.extract(layer)
        assert listing(base / "canary") == before
        assert sorted(os.listdir(base)) == ["canary", "root"]
