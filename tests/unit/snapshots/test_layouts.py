"""What snapshotters lay into their directories, how they mount it, and what crashes leave."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.clock import SystemClock
from pycontainerd.errors import Error, FailedPrecondition, Unknown
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.mounts.model import Mount
from pycontainerd.snapshots import id_mapping, overlay_support
from pycontainerd.snapshots.local import LocalSnapshotter
from pycontainerd.snapshots.native import native
from pycontainerd.snapshots.overlayfs import LABEL_UPPER, overlayfs
from pycontainerd.threads import Threads

UIDS_ONLY = {"containerd.io/snapshot/uidmapping": "0:7:1"}
MAPPED = {"containerd.io/snapshot/uidmapping": "0:1000:10", "containerd.io/snapshot/gidmapping": "0:2000:10"}

Make = Callable[[Path, Threads], LocalSnapshotter]
Body = Callable[[LocalSnapshotter], Awaitable[None]]


def run(root: Path, body: Body, make: Make = overlayfs) -> None:
    async def main() -> None:
        with (
            Database.open(root / "meta.sqlite", SystemClock(), sync=False) as database,
            Threads("snapshots", most=2) as threads,
        ):
            snapshotter = make(root / "s", threads)
            snapshotter.bind(database)
            await body(snapshotter)

    asyncio.run(main())


def overlay_of(**options: object) -> Make:
    return lambda root, threads: overlayfs(root, threads, **options)  # type: ignore[arg-type] # the test's own


async def chain(snapshotter: LocalSnapshotter, *names: str) -> None:
    """Commits *names*, each on the one before."""
    parent = ""
    for name in names:
        await snapshotter.prepare(f"{name}-active", parent, {})
        await snapshotter.commit(name, f"{name}-active", {})
        parent = name


async def shows(snapshotter: LocalSnapshotter, key: str) -> bool:
    """Whether what is to be mounted exists."""
    (mount,) = await snapshotter.mounts(key)
    return os.access(mount.source, os.F_OK)


def directories(root: Path) -> list[str]:
    return sorted(os.listdir(root / "s/snapshots"))


def test_overlay_mounts_what_is_there(scratch: Path) -> None:
    at = f"{scratch}/s/snapshots"

    async def body(snapshotter: LocalSnapshotter) -> None:
        assert await snapshotter.prepare("a", "", {}) == (Mount("bind", f"{at}/1/fs", "", ("rw", "rbind")),)
        assert await snapshotter.prepare("v", "", {}, view=True) == (Mount("bind", f"{at}/2/fs", "", ("ro", "rbind")),)
        await chain(snapshotter, "one", "two")
        assert await snapshotter.prepare("v1", "one", {}, view=True) == (
            Mount("bind", f"{at}/3/fs", "", ("ro", "rbind")),
        )
        assert await snapshotter.prepare("v2", "two", {}, view=True) == (
            Mount("overlay", "overlay", "", (f"lowerdir={at}/4/fs:{at}/3/fs", "volatile", "index=off")),
        )
        assert await snapshotter.prepare("b", "two", MAPPED) == (
            Mount(
                "overlay",
                "overlay",
                "",
                (
                    "uidmap=0:1000:10",
                    "gidmap=0:2000:10",
                    f"workdir={at}/7/work",
                    f"upperdir={at}/7/fs",
                    f"lowerdir={at}/4/fs:{at}/3/fs",
                    "volatile",
                    "index=off",
                ),
            ),
        )

    run(scratch, body, overlay_of(options=("volatile", "index=off"), remaps_ids=True))


def test_overlay_without_mapped_mounts_answers_none(scratch: Path) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        (mount,) = await snapshotter.prepare("a", "", MAPPED)
        assert mount.options == ("rw", "rbind")

    run(scratch, body)


def test_the_upper_directory_is_a_label_if_asked(scratch: Path) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        await snapshotter.prepare("a", "", {"x": "y"})
        expected = {"x": "y", LABEL_UPPER: f"{scratch}/s/snapshots/1/fs"}
        assert (await snapshotter.stat("a")).labels == expected
        assert (await snapshotter.infos(["a", "none"]))["a"].labels == expected
        assert (await snapshotter.update("a", {})).labels == {LABEL_UPPER: expected[LABEL_UPPER]}

    run(scratch, body, overlay_of(shows_upper=True))


@pytest.mark.parametrize(
    ("labels", "owner"),
    [({}, (0, 0)), (MAPPED, (1000, 2000)), (UIDS_ONLY, (7, 0))],
)
def test_the_root_belongs_to_the_containers_root(
    scratch: Path, labels: Mapping[str, str], owner: tuple[int, int]
) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        await snapshotter.prepare("a", "", labels)
        found = os.stat(scratch / "s/snapshots/1/fs")
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*owner, 0o755)
        await snapshotter.commit("c", "a", {})
        await snapshotter.prepare("child", "c", {})
        found = os.stat(scratch / "s/snapshots/2/fs")
        assert (found.st_uid, found.st_gid) == owner
        assert os.stat(scratch / "s/snapshots/2/work").st_mode & 0o777 == 0o711

    run(scratch, body)


@pytest.mark.parametrize("mapping", ["junk", "0:1", "0:1:2:3", "5:1:1", "0:0:0", "-1:0:1", "0:1:99999999999"])
def test_a_mapping_without_a_root_is_refused(scratch: Path, mapping: str) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        with pytest.raises(Unknown):
            await snapshotter.prepare("a", "", {"containerd.io/snapshot/uidmapping": mapping})
        assert directories(scratch) == []
        await snapshotter.prepare("a", "", {})

    run(scratch, body)


def test_a_mapping_may_have_its_root_anywhere() -> None:
    labels = {"containerd.io/snapshot/uidmapping": "5:100:1,0:42:1"}
    assert id_mapping.root_pair(labels) == (42, None)


def test_numbers_are_never_given_twice(scratch: Path) -> None:
    async def first(snapshotter: LocalSnapshotter) -> None:
        for name in ("a", "b"):
            await snapshotter.prepare(name, "", {})
            await snapshotter.remove(name)
        await snapshotter.cleanup()
        assert directories(scratch) == []

    async def second(snapshotter: LocalSnapshotter) -> None:
        await snapshotter.prepare("c", "", {})
        assert directories(scratch) == ["3"]

    run(scratch, first)
    run(scratch, second)


def test_a_directory_whose_row_a_crash_lost_keeps_its_number(scratch: Path) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        await snapshotter.prepare("c", "", {})
        assert directories(scratch) == ["10", "9", "new-4", "rm-3"]
        await snapshotter.cleanup()
        assert directories(scratch) == ["10"]

    (scratch / "s/snapshots/9/fs").mkdir(parents=True)
    (scratch / "s/snapshots/rm-3").mkdir()
    (scratch / "s/snapshots/new-4").mkdir()
    run(scratch, body)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_removed_snapshots_directory_goes_at_once_or_with_the_cleanup(scratch: Path, at_once: bool) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        await snapshotter.prepare("a", "", {})
        await snapshotter.prepare("b", "", {})
        await snapshotter.remove("a")
        assert directories(scratch) == (["2"] if at_once else ["1", "2"])
        await snapshotter.cleanup()
        assert directories(scratch) == ["2"]

    run(scratch, body, overlay_of(removes_at_once=at_once))


def test_files_that_are_not_ours_are_left_alone(scratch: Path) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        (scratch / "s/snapshots/lost+found").mkdir()
        await snapshotter.cleanup()
        assert directories(scratch) == ["lost+found"]

    run(scratch, body)


@pytest.mark.parametrize("make", [overlayfs, native])
@pytest.mark.parametrize("point", faults.points("snapshots.directory."))
def test_a_preparation_that_fails_leaves_nothing(
    scratch: Path, point: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        await chain(snapshotter, "base")
        monkeypatch.setattr(faults, "_armed", {point: "fail"})
        with pytest.raises(Unknown, match="create snapshot directory"):
            await snapshotter.prepare("a", "base", {})
        monkeypatch.setattr(faults, "_armed", {})
        assert await snapshotter.keys() == ["base"]
        await snapshotter.cleanup()
        assert directories(scratch) == ["1"]

    run(scratch, body, make)


def test_what_is_recorded_beside_a_snapshot_is_recorded_with_it_or_not_at_all(scratch: Path) -> None:
    def refuse(tx: Transaction) -> None:
        raise FailedPrecondition("the namespace has lost interest")

    async def body(snapshotter: LocalSnapshotter) -> None:
        with pytest.raises(FailedPrecondition):
            await snapshotter.prepare("a", "", {}, also=refuse)
        assert await snapshotter.keys() == []
        assert directories(scratch) == []
        await snapshotter.prepare("a", "", {})
        with pytest.raises(FailedPrecondition):
            await snapshotter.commit("c", "a", {}, also=refuse)
        assert await snapshotter.keys() == ["a"]

    run(scratch, body)


def test_one_key_is_prepared_once_at_a_time(scratch: Path) -> None:
    async def attempt(snapshotter: LocalSnapshotter) -> str:
        try:
            await snapshotter.prepare("a", "", {})
        except Error as error:
            return type(error).__name__
        return "made"

    async def body(snapshotter: LocalSnapshotter) -> None:
        answers = await asyncio.gather(*(attempt(snapshotter) for _ in range(5)))
        assert sorted(answers) == ["AlreadyExists"] * 4 + ["made"]
        assert len(directories(scratch)) == 1

    run(scratch, body)


def test_the_cleanup_leaves_what_is_being_made(scratch: Path) -> None:
    async def body(snapshotter: LocalSnapshotter) -> None:
        async def prepare(number: int) -> None:
            await snapshotter.prepare(f"k{number}", "", {})
            assert await shows(snapshotter, f"k{number}")

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(prepare(number))
                group.create_task(snapshotter.cleanup())
        for number in range(30):
            assert await shows(snapshotter, f"k{number}")

    run(scratch, body)


def test_overlay_can_be_used_here(scratch: Path) -> None:
    overlay_support.check(scratch)
    assert os.listdir(scratch) == []
    assert overlay_support.capabilities(remaps_ids=True, slow_chown=True) == ("remap-ids", "rebase")
    assert overlay_support.capabilities(remaps_ids=False, slow_chown=False) == ("only-remap-ids", "rebase")
    assert overlay_support.all_options(scratch, ("volatile",)) == ("volatile", "index=off")
    assert overlay_support.all_options(scratch, ("index=on",)) == ("index=on",)
