"""The daemon is killed at each named point of a removal: what was acknowledged is gone, the rest is whole or gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.content import collection, store
from pycontainerd.metadata.gc import collector
from pycontainerd.snapshots import directories
from pycontainerd.snapshots import store as snapshot_store
from tests.faults.storage import Storage, stored

DECLARING = (collection, store, collector, directories, snapshot_store)
"""The modules whose points are meant: they are declared when these are imported."""

PARTS = ("metadata.", "gc.", "content.remove.", "snapshots.remove.")
"""The points of `collect.` belong to the first collection after a start: see test_import_killed."""

POINTS = [name for part in PARTS for name in faults.points(part)]


@pytest.fixture(scope="module")
def storage(session_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with Storage.started(session_base / "removals", tmp_path_factory.mktemp("removals")) as started:
        yield started


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_what_is_whole_or_what_is_collected(storage: Storage, point: str) -> None:
    storage.begin()
    for lease in ("kept", "going"):
        storage.lease(lease)
        storage.fill(lease)
    for name in ("half", "other"):
        storage.ingest("going", name)

    def remove() -> Iterator[str]:
        for thing in (
            "overlayfs going-active",
            "native going-active",
            "native going-top",
            "blob going-2",
            "ingest half",
        ):
            storage.remove(thing)
            yield thing
        storage.drop("going")
        yield from (*stored("going"), "ingest other")

    acknowledged = storage.killed_at(point, remove)
    assert not set(acknowledged).intersection(storage.things())
    storage.collect()  # or the collection of the start would take what is being looked at
    assert set(stored("kept")) <= set(storage.things())
    storage.check_whole()

    storage.drop("going")
    storage.lease("going")
    storage.fill("going")
    storage.drop("going")
    assert storage.things() == stored("kept")
    storage.check_disk(stored("kept"))
    storage.drop("kept")
    storage.check_disk([])
