"""Who sends the SIGKILLs, in the order of the plan."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.storm.plan import Fault, Victim
from tests.faults.storm.scene import Scene
from tests.harness.spawners import spawners

LOOK_S: Final = 0.02
"""Between two looks for a process that lives for milliseconds."""
LOOKS: Final = 100
POINTS_AT_ONCE: Final = 3


class Found(NamedTuple):
    pid: int
    words: list[str]


class Killer:
    """Carries out the faults of a plan."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._room = asyncio.Semaphore(POINTS_AT_ONCE)

    async def run(self, faults: tuple[Fault, ...]) -> None:
        """Returns when all are done, or all clients are."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await self._scene.until_called(fault.after)
                if self._scene.ended:
                    return
                await self._do(fault, group)

    async def _do(self, fault: Fault, group: asyncio.TaskGroup) -> None:
        match fault.victim:
            case Victim.DAEMON:
                self._scene.killed["daemon"] += 1
                await self._scene.kill_daemon()
            case Victim.SPAWNER:
                for pid in spawners(self._scene.daemon.socket_dir):
                    self._kill(Found(pid, ["spawner"]), "spawner")
            case Victim.SHIM:
                self._shim(fault.choice)
            case Victim.RUNC:
                await self._hunt(self._is_runc)
            case Victim.CLEANER:
                if self._shim(fault.choice):
                    await self._hunt(self._is_cleaner)
            case Victim.POINT:
                await self._room.acquire()
                group.create_task(self._at_point(fault))

    async def _at_point(self, fault: Fault) -> None:
        """Kills who comes to the point; nobody does if all clients are done before."""
        scene = self._scene
        file = scene.points / fault.point
        try:
            file.touch()
            while not (taken := list(scene.points.glob(f"{fault.point}@*"))):
                if scene.ended:
                    file.unlink(missing_ok=True)
                    return
                await asyncio.sleep(LOOK_S)
            for each in taken:
                each.unlink()
                await self._kill_stopped(int(each.name.rpartition("@")[2]), fault.point)
        finally:
            self._room.release()

    async def _kill_stopped(self, pid: int, point: str) -> None:
        scene = self._scene
        if pid == scene.daemon.pid:
            scene.killed[point] += 1
            await scene.kill_daemon()
        else:
            self._kill(Found(pid, _words(pid)), point)

    def _shim(self, choice: int) -> bool:
        living = sorted(_processes(self._is_shim), key=lambda found: found.words)
        if living:
            self._kill(living[choice % len(living)], "shim")
        return bool(living)

    async def _hunt(self, wanted: Callable[[list[str]], str]) -> None:
        """Kills the first process that is *wanted*, which gives it a name."""
        for _ in range(LOOKS):
            for found in _processes(lambda words: bool(wanted(words))):
                self._kill(found, wanted(found.words))
                return
            if self._scene.ended:
                return
            await asyncio.sleep(LOOK_S)

    def _kill(self, found: Found, name: str) -> None:
        if self._is_shim(found.words):
            self._scene.hit.add(found.words[found.words.index("-id") + 1])
        self._scene.killed[name] += 1
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)

    def _is_shim(self, words: list[str]) -> bool:
        return ["-namespace", self._scene.namespace] == words[1:3] and "-id" in words and words[-1] != "delete"

    def _is_cleaner(self, words: list[str]) -> str:
        if ["-namespace", self._scene.namespace] == _after(words, "-namespace") and words[-1] == "delete":
            return "shim delete"
        return f"cleaning {self._is_runc(words)}" if "--force" in words and self._is_runc(words) else ""

    def _is_runc(self, words: list[str]) -> str:
        """Its command, empty for another process."""
        root = str(self._scene.runc_root / self._scene.namespace)
        if "--root" not in words or words[words.index("--root") + 1] != root:
            return ""
        commands = {"create", "start", "delete", "kill", "exec"}
        return next((f"runc {word}" for word in words if word in commands), "runc")


def _after(words: list[str], flag: str) -> list[str]:
    return words[words.index(flag) :][:2] if flag in words else []


def _processes(wanted: Callable[[list[str]], bool]) -> list[Found]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and wanted(words := _words(int(name))):
            found.append(Found(int(name), words))
    return found


def _words(pid: int) -> list[str]:
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return [""]
    return content.decode(errors="replace").rstrip("\0").split("\0")
