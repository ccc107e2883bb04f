"""One storm, from its plan to its verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.storm.killer import Killer
from tests.faults.storm.leftovers import leftovers
from tests.faults.storm.link import Link
from tests.faults.storm.owner import CREATE, SNAPSHOTTER, Owner, Seen
from tests.faults.storm.plan import CLIENTS, KILLED, Life, Plan
from tests.faults.storm.scene import Scene
from tests.faults.storm.watcher import Watcher

OF_A_KILLED_RUNC: Final = "exit status 137"
"""In the text of the only failures after its create that a client may see whose shim was not killed."""


@dataclass(frozen=True)
class Verdict:
    """What came of a storm."""

    wrong: list[str]
    """Codes and outputs that are not what the plan says."""
    left: dict[str, list[str]]
    killed: dict[str, int]
    failures: list[str]
    """Calls that failed and were tried again."""

    @property
    def well(self) -> bool:
        return not self.wrong and not self.left


async def storm(base: Path, archive: Path, plan: Plan) -> Verdict:
    """Runs *plan* on a daemon in *base*, with the image in *archive*."""
    async with Scene.begin(base) as scene:
        parent = await _unpacked(scene, archive)
        links = [Link(scene) for _ in range(CLIENTS)]
        watcher = Watcher(scene)
        seen: list[Seen] = []
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watcher.run())
            killing = group.create_task(Killer(scene).run(plan.faults))
            async with asyncio.TaskGroup() as clients:
                for number, lives in enumerate(plan.lives):
                    owner = Owner(scene, links[number], links[(number + 1) % CLIENTS], parent)
                    clients.create_task(_all(owner, lives, seen))
            scene.end()
            await killing
            await scene.kill_daemon()  # also what the last one knew is on disk, or gone
            left = await leftovers(scene, links[0], parent)
            watching.cancel()
        for link in links:
            await link.close()
        return Verdict(_wrong(scene, seen, watcher), left, dict(scene.killed), [f for s in seen for f in s.failures])


async def _all(owner: Owner, lives: tuple[Life, ...], seen: list[Seen]) -> None:
    for life in lives:
        seen.append(await owner.live(life))


async def _unpacked(scene: Scene, archive: Path) -> str:
    """The snapshot of the image."""
    await asyncio.to_thread(scene.daemon.ctr, "images", "import", str(archive))
    link = Link(scene)
    found = await link.sure(lambda client: client.snapshots(SNAPSHOTTER).list())
    await link.close()
    assert found is not None
    (only,) = found
    return only.name


def _wrong(scene: Scene, seen: list[Seen], watcher: Watcher) -> list[str]:
    return [line for each in seen for line in _wrong_of(each, each.life.id in scene.hit, watcher)]


def _wrong_of(seen: Seen, hit: bool, watcher: Watcher) -> list[str]:
    """What is wrong with one container. One whose shim was killed may have ended with 137, and its task be gone."""
    life = seen.life
    expected = {"": life.code} | {f"e{number}": code for number, code in enumerate(life.execs)}
    wrong = []
    for exec_id, code in expected.items():
        allowed = {code, KILLED, None} if hit else {code}
        codes = set(seen.codes.get(exec_id, [None]))
        if not codes <= allowed:
            wrong.append(f"{life.id} {exec_id}: seen {codes}, planned {code}, hit {hit}: {seen.failures}")
    told = watcher.told.get((life.id, ""), set())
    if not told <= {life.code, *({KILLED} if hit or seen.create_failed else ())}:
        wrong.append(f"{life.id}: events told {told}, planned {life.code}, hit {hit}")
    if not hit:
        # A create meets the kill of any of four processes, and is tried again.
        others = [each for each in seen.failures if not each.startswith(CREATE)]
        wrong += [f"{life.id}: {failure}" for failure in others if OF_A_KILLED_RUNC not in failure]
        if seen.output != b"ready\n":
            wrong.append(f"{life.id}: printed {seen.output!r}")
    return wrong
