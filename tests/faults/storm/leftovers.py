"""What a storm has left: nothing, once everything that was on its way has ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from tests.faults.storm.link import Link
from tests.faults.storm.owner import SNAPSHOTTER
from tests.faults.storm.scene import Scene

GONE_S: Final = 60
LOOK_S: Final = 0.1
CGROUPS: Final = Path("/sys/fs/cgroup")


async def leftovers(scene: Scene, link: Link, parent: str) -> dict[str, list[str]]:
    """What is still there after a while, by kind; empty if nothing is."""
    left = _on_machine(scene)
    for _ in range(round(GONE_S / LOOK_S)):
        if not left:
            break
        await asyncio.sleep(LOOK_S)
        left = _on_machine(scene)
    rows = await _rows(link, parent)
    return left | ({"rows": rows} if rows else {})


def _on_machine(scene: Scene) -> dict[str, list[str]]:
    found = {
        "processes": _processes(scene),
        "mounts": _mounts(scene),
        "cgroups": _cgroups(scene),
        "bundles": _names(*scene.daemon.state.glob("io.containerd.runtime.v2.task/*")),
        "work": _names(*scene.daemon.root.glob("io.containerd.runtime.v2.task/*")),
        "sockets": [name for name in _names(scene.daemon.socket_dir) if "/spawner-" not in name],
        "fifos": _names(scene.fifos),
        "runc": _names(scene.runc_root / scene.namespace),
        "temporary": _names(scene.temporary),
    }
    return {kind: names for kind, names in found.items() if names}


async def _rows(link: Link, parent: str) -> list[str]:
    containers = await link.sure(lambda client: client.containers.list()) or []
    tasks = await link.sure(lambda client: client.tasks.list()) or []
    snapshots = await link.sure(lambda client: client.snapshots(SNAPSHOTTER).list()) or []
    leases = await link.sure(lambda client: client.leases.list()) or []
    rows = [f"container {each.id}" for each in containers] + [f"task {each.id}" for each in tasks]
    rows += [f"snapshot {each.name}" for each in snapshots if each.name != parent]
    return rows + [f"lease {each.id}" for each in leases]


def _processes(scene: Scene) -> list[str]:
    """Shims and what they run: by their titles, and by their control groups."""
    marks = (f"-namespace\0{scene.namespace}\0".encode(), f"{scene.runc_root}/{scene.namespace}".encode())
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            inside = f":/{scene.namespace}/" in (entry / "cgroup").read_text()
        except OSError:
            continue
        if inside or any(mark in command for mark in marks):
            found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def _mounts(scene: Scene) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{scene.daemon.base}/")]


def _cgroups(scene: Scene) -> list[str]:
    """The groups of containers; the one of the namespace stays, as with the original."""
    return _names(CGROUPS / scene.namespace, *(each / scene.namespace for each in CGROUPS.iterdir()), directories=True)


def _names(*directories_: Path, directories: bool = False) -> list[str]:
    found = []
    for directory in directories_:
        with_names = os.scandir(directory) if directory.is_dir() else ()
        found += [entry.path for entry in with_names if entry.is_dir() or not directories]
    return found
