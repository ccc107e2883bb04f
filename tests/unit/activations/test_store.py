"""Activations: made, found, taken away and collected, with mounts of the kernel."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pycontainerd.activations import codec
from pycontainerd.activations.handlers import Erofs
from pycontainerd.activations.making import Maker
from pycontainerd.activations.store import Activations
from pycontainerd.containers.model import Container, Runtime
from pycontainerd.errors import AlreadyExists, NotFound, Unimplemented, Unknown
from pycontainerd.ids import RandomIds
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds
from pycontainerd.metadata.gc.collector import Collector
from pycontainerd.mounts import mounting
from pycontainerd.mounts.model import Mount
from pycontainerd.system.mountinfo import mounts_below
from pycontainerd.threads import Threads
from tests.harness.stores import Stores, with_stores

TMPFS = Mount("tmpfs", "none")


class Marking:
    """A handler that mounts a tmpfs in place of what it is asked for."""

    def __init__(self) -> None:
        self.seen: list[Mount] = []

    def mount(self, mount: Mount, point: str) -> None:
        self.seen.append(mount)
        mounting.mount_one(TMPFS, point)


class House:
    """Activations over a database, and their collector."""

    def __init__(self, stores: Stores, targets: Path, threads: Threads) -> None:
        self.stores = stores
        self.targets = targets
        self.handler = Marking()
        maker = Maker(str(targets), [str(targets.parent)], {"marked": self.handler}, stores.clock.now_ns)
        self.activations = Activations(
            stores.database, stores.leases, maker=maker, codec=codec, threads=threads, ids=RandomIds()
        )
        self.collector = Collector(stores.database, stores.clock)
        self.collector.register(self.activations)

    def mounts(self) -> list[str]:
        return sorted(path.removeprefix(f"{self.targets}/") for path in mounts_below(str(self.targets)))

    def directories(self) -> list[str]:
        return sorted(path.name for path in self.targets.iterdir())

    async def names(self) -> list[str]:
        return [codec.decode(wire).name for wire in await self.activations.list_wire("ns")]


@pytest.fixture
def targets(scratch: Path) -> Iterator[Path]:
    directory = scratch / "t"
    directory.mkdir()
    yield directory
    assert mounts_below(str(directory)) == []


def with_house(targets: Path, test: Callable[[House], Awaitable[None]]) -> None:
    async def main(stores: Stores) -> None:
        with Threads("test", most=2) as threads:
            house = House(stores, targets, threads)
            try:
                await test(house)
            finally:
                for name in await house.names():
                    await house.activations.deactivate("ns", name)

    with_stores(targets.parent, main)


def test_what_the_caller_cant_mount_is_mounted_and_the_rest_given_back(targets: Path) -> None:
    async def test(house: House) -> None:
        overlay = Mount("format/overlay", "overlay", "", ("lowerdir={{ overlay 1 0 }}", "x={{ source 0 }}"))
        asked = [Mount("marked", "image"), TMPFS, overlay, Mount("bind", "/x")]
        made = await house.activations.activate("ns", "a", asked, said={"k": "v", "e": ""})
        points = [f"{targets}/1/2", f"{targets}/1/1"]
        assert [active.point for active in made.active] == points
        assert house.mounts() == ["1/1", "1/2"]
        assert house.handler.seen == [Mount("marked", "image")]
        lower = f"lowerdir={points[1]}:{points[0]}"
        assert list(made.system) == [Mount("overlay", "overlay", "", (lower, "x=image")), Mount("bind", "/x")]
        assert made.labels == {"k": "v"}
        info = house.activations.info("ns", "a")
        assert [(active.mount, active.point) for active in info.active] == [
            (Mount("marked", ""), points[0]),
            (Mount("tmpfs", ""), points[1]),
        ]
        assert list(info.system) == list(made.system)
        assert (targets / "1" / "2-type").read_text() == "marked"
        await house.activations.deactivate("ns", "a")
        assert (house.mounts(), house.directories(), await house.names()) == ([], [], [])

    with_house(targets, test)


def test_a_temporary_activation_mounts_all(targets: Path) -> None:
    async def test(house: House) -> None:
        again = Mount("format/bind", "{{ mount 0 }}", "", ("rbind",))
        made = await house.activations.activate("ns", "a", [TMPFS, again], temporary=True)
        assert list(made.system) == [Mount("bind", f"{targets}/1/1", "", ("rbind",))]
        assert house.mounts() == ["1/1", "1/2"]

    with_house(targets, test)


def test_a_plain_mount_is_left_to_the_caller(targets: Path) -> None:
    async def test(house: House) -> None:
        with pytest.raises(Unimplemented):
            await house.activations.activate("ns", "a", [TMPFS])
        async with house.activations.plain("ns", [TMPFS]) as left:
            assert list(left) == [TMPFS]
        async with house.activations.plain("ns", [TMPFS, Mount("format/bind", "{{ mount 0 }}")]) as left:
            assert [mount.source for mount in left] == [f"{targets}/1/1"]
            await house.collector.run()
            assert (house.mounts(), await house.names()) == (["1/1"], [])
        assert (house.mounts(), await house.names()) == ([], [])

    with_house(targets, test)


def test_a_name_is_active_once(targets: Path) -> None:
    async def test(house: House) -> None:
        results = await asyncio.gather(
            *(house.activations.activate("ns", "a", [TMPFS], temporary=True) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results].count(AlreadyExists) == 4
        assert house.mounts() == ["1/1"]
        await house.activations.activate("other", "a", [TMPFS], temporary=True)
        await house.activations.deactivate("other", "a")
        for refused in (house.activations.deactivate("ns", "b"), house.activations.deactivate("other", "a")):
            with pytest.raises(NotFound, match=r'missing mount "." bucket'):
                await refused
        with pytest.raises(Unknown, match="bucket name required"):
            await house.activations.activate("ns", "", [TMPFS], temporary=True)

    with_house(targets, test)


def test_an_activation_that_fails_leaves_nothing(targets: Path) -> None:
    async def test(house: House) -> None:
        asked = [TMPFS, Mount("bind", "/nonexistent", "", ("rbind",))]
        with pytest.raises(Unknown, match=r"mount failed {bind /nonexistent  \[rbind\]}: .*err: no such file"):
            await house.activations.activate("ns", "a", asked, temporary=True)
        with pytest.raises(Unknown, match="index out of bounds"):
            await house.activations.activate("ns", "a", [TMPFS, Mount("format/bind", "{{ mount 7 }}")])
        assert (house.mounts(), house.directories(), await house.names()) == ([], [], [])
        rows = await house.stores.database.read(lambda c: c.execute("SELECT * FROM mounts").fetchall())
        assert rows == []

    with_house(targets, test)


def test_a_collection_takes_what_no_lease_and_nothing_else_holds(targets: Path) -> None:
    async def test(house: House) -> None:
        await house.stores.leases.create("ns", "l", {})
        await house.stores.containers.create("ns", Container("c", Runtime("rt")))
        said = {"containerd.io/gc.ref.mount": "named"}
        await house.stores.images.create("ns", Image("i", Target("m/t", "sha256:" + "0" * 64, 1), said))
        activate = house.activations.activate
        await activate("ns", "leased", [TMPFS], temporary=True, lease="l")
        await activate("ns", "no lease", [TMPFS], temporary=True, lease="x")
        await activate("ns", "child", [TMPFS], temporary=True, said={"containerd.io/gc.bref.container": "c"})
        await activate("ns", "root", [TMPFS], temporary=True, said={"containerd.io/gc.root": "x"})
        await activate("ns", "named", [TMPFS], temporary=True)
        assert await house.stores.leases.resources("ns", "l") == []
        await house.collector.run()
        assert await house.names() == ["child", "leased", "named"]
        assert house.mounts() == ["1/1", "3/1", "5/1"]
        await house.stores.leases.delete("ns", "l")
        await house.stores.containers.delete("ns", "c")
        await house.collector.run()
        assert (await house.names(), house.mounts(), house.directories()) == (["named"], ["5/1"], ["5"])

    with_house(targets, test)


def test_a_collection_takes_what_a_crash_has_left(targets: Path) -> None:
    async def test(house: House) -> None:
        await house.activations.activate("ns", "a", [TMPFS, TMPFS], temporary=True)
        # As if the daemon had died before the row was finished: its row is dropped at the next start.
        await house.stores.database.write(lambda tx: tx.execute("DELETE FROM objects WHERE kind = ?", (kinds.MOUNTS,)))
        (targets / "1" / "1-type").unlink()
        (targets / "77").mkdir()
        (targets / "not ours").mkdir()
        await house.collector.run()
        assert (house.mounts(), house.directories()) == ([], ["not ours"])

    with_house(targets, test)


def test_a_mount_that_is_busy_keeps_no_other_from_being_taken(targets: Path) -> None:
    async def test(house: House) -> None:
        await house.activations.activate("ns", "a", [TMPFS], temporary=True)
        await house.activations.activate("ns", "b", [TMPFS], temporary=True)
        with (targets / "1" / "1" / "busy").open("w"):
            patched = pytest.MonkeyPatch()
            patched.setattr(mounting, "BUSY_DELAY_S", 0)
            await house.collector.run()
            assert (house.mounts(), await house.names()) == (["1/1"], [])
            patched.undo()
        await house.collector.run()
        assert (house.mounts(), house.directories()) == ([], [])

    with_house(targets, test)


def test_rows_of_before_a_restart_of_the_machine_are_forgotten(targets: Path) -> None:
    async def test(house: House) -> None:
        await house.activations.activate("ns", "gone", [TMPFS], temporary=True)
        await house.activations.activate("ns", "kept", [TMPFS], temporary=True)
        house.activations._maker.take_away(1)
        await house.activations.begin()
        assert await house.names() == ["kept"]

    with_house(targets, test)


def test_an_image_is_mounted_through_a_loop_device_where_the_kernel_takes_no_file() -> None:
    seen: list[tuple[str, ...]] = []

    def mount_one(mount: Mount, point: str) -> None:
        seen.append(mount.options)
        if "loop" not in mount.options:
            raise OSError(errno.ENOTBLK, "Block device required")

    Erofs(mount_one).mount(Mount("erofs", "/image", "", ("loop", "dax=never")), "/point")
    assert seen == [("ro", "dax=never"), ("ro", "dax=never", "loop")]
    with pytest.raises(OSError, match="other"):
        Erofs(_fail).mount(Mount("erofs", "/image"), "/point")


def _fail(mount: Mount, point: str) -> None:
    raise OSError(errno.EINVAL, "other")
