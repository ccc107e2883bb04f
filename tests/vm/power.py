"""Cutting the power of a machine again and again, and holding what it finds against what was acknowledged.

.venv/bin/python -m tests.vm.power --file-system xfs --cuts 500 [--seed 7]
"""

from __future__ import annotations

import argparse
import json
import random
import select
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.vm.disk import Disk
from tests.vm.image import XFS, Image, build
from tests.vm.machine import READY_S, Machine

DISK_BYTES: Final = 320 << 20
WORK: Final = (1, 30)
"""How many acknowledgements a machine gives before the cut."""

LATER_S: Final = 0.1
"""By how much the cut comes later than the last of them, at most, in seconds."""

EARLY: Final = 0.15
"""The share of cuts that come while a machine still looks at what the last cut has left."""

EARLY_S: Final = 2.0
"""How long after its boot such a cut comes, at most, in seconds."""

MAKE: Final = {
    "ext4": ("mke2fs", "-q", "-F", "-t", "ext4", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}
PRIVATE: Final = ("collect ", "look ", "hold ")
"""How names begin of what the labour makes for itself and does not tell."""


@dataclass
class Ledger:
    """What the daemon has acknowledged. None stands for a thing that is gone."""

    sure: dict[tuple[str, str], Any] = field(default_factory=dict)
    open: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    acknowledged: int = 0

    def begin(self, kind: str, name: str, detail: Any) -> None:
        """From now on it may be as before, or as *detail* says."""
        self.open.setdefault((kind, name), [self.sure.get((kind, name))]).append(detail)

    def done(self, kind: str, name: str, detail: Any) -> None:
        """It was acknowledged: it is so."""
        self.open.pop((kind, name), None)
        self.sure[kind, name] = detail
        self.acknowledged += 1

    def differences(self, found: dict[str, dict[str, Any]]) -> list[str]:
        """What is not as it must be; what was open is settled by what was found."""
        there = {(kind, name): detail for kind, things in found.items() for name, detail in things.items()}
        wrong = []
        for key in sorted(there.keys() | self.sure.keys() | self.open.keys()):
            allowed = self.open.get(key, [self.sure.get(key)])
            if there.get(key) not in allowed and not key[1].startswith(PRIVATE):
                wrong.append(f"{' '.join(key)} is {there.get(key)!r}, may be {' or '.join(map(repr, allowed))}")
        self.sure = there
        self.open = {}
        return wrong


@dataclass
class Outcome:
    """What came of some cuts."""

    cuts: int = 0
    acknowledged: int = 0
    lost_sectors: int = 0
    flushes: int = 0
    wrong: list[str] = field(default_factory=list)


def cut_often(image: Image, directory: Path, file_system: str, *, cuts: int, seed: int) -> Outcome:
    """Boots, lets work and cuts *cuts* times, and looks once more at the end. Ends early at the first thing wrong."""
    directory.mkdir(parents=True, exist_ok=True)
    content = directory / "disk"
    with content.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run([*MAKE[file_system], content], check=True)
    disk = Disk(content, directory / "nbd")
    chance = random.Random(f"{file_system} {seed}")  # noqa: S311 - to be repeated
    ledger, outcome = Ledger(), Outcome()
    try:
        for boot in range(cuts + 1):
            with disk.served(), Machine.boot(image, directory / "machine", disks=[disk.drive]) as machine:
                last = boot == cuts
                if file_system == "xfs":
                    machine.run("sh", "-c", f"for module in {XFS}/*; do insmod $module; done")
                machine.start_module("tests.vm.labour", "/dev/vdb", file_system, boot, seed)
                early = not last and chance.random() < EARLY
                told = Told(machine.told, ledger)
                if not told.until("booted" if early else "working"):
                    outcome.wrong.append(f"boot {boot} came to nothing:\n{machine.tail()}")
                elif not last:
                    if not early:
                        told.acknowledgements(chance.randint(*WORK))
                    told.listen(chance.uniform(0, LATER_S if not early else EARLY_S))
                    disk.cut(machine.power_off, chance)
                    told.rest()
                if told.wrong:
                    outcome.wrong += [f"boot {boot}: {line}" for line in told.wrong] + [machine.tail()]
            if outcome.wrong:
                break
            outcome.cuts = boot
    finally:
        disk.close()
    outcome.acknowledged, outcome.lost_sectors, outcome.flushes = ledger.acknowledged, disk.lost, disk.flushes
    return outcome


class Told:
    """The lines of a machine, entered into the ledger as they come."""

    def __init__(self, end: socket.socket, ledger: Ledger) -> None:
        self._end = end
        self._ledger = ledger
        self._pending = b""
        self._seen: set[str] = set()
        self.wrong: list[str] = []

    def until(self, word: str) -> bool:
        """Listens until a line begins with *word*; False if none comes."""
        deadline = time.monotonic() + READY_S
        while word not in self._seen and not self.wrong and time.monotonic() < deadline:
            if not self._receive(deadline - time.monotonic()):
                break
        return word in self._seen

    def acknowledgements(self, count: int) -> None:
        """Listens until *count* more things were acknowledged, or something went wrong."""
        enough = self._ledger.acknowledged + count
        while self._ledger.acknowledged < enough and not self.wrong and self._receive(READY_S):
            pass

    def listen(self, seconds: float) -> None:
        """Listens for a time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._receive(left):
            pass

    def rest(self) -> None:
        """What was under way when the machine went off."""
        while self._receive(0):
            pass

    def _receive(self, seconds: float) -> bool:
        if not select.select([self._end], [], [], max(seconds, 0))[0]:
            return False
        data = self._end.recv(1 << 16)
        self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            self._enter(*json.loads(line))
        return bool(data)

    def _enter(self, word: str, *rest: Any) -> None:
        self._seen.add(word)
        match word:
            case "begin":
                self._ledger.begin(*rest)
            case "done":
                self._ledger.done(*rest)
            case "found":
                found, wrong = rest
                self.wrong += self._ledger.differences(found) + wrong
            case "failed":
                self.wrong.append(f"{rest[0]} failed: {rest[1]}")
            case _:
                pass  # how far it is


def main() -> int:
    """Cuts as the arguments say; 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-system", choices=sorted(MAKE), default="ext4")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        image = build(Path(base))
        outcome = cut_often(image, Path(base) / "cuts", arguments.file_system, cuts=arguments.cuts, seed=seed)
    print(
        f"seed {seed}, {arguments.file_system}: {outcome.cuts} cuts, {outcome.acknowledged} acknowledgements,"
        f" {outcome.flushes} flushes, {outcome.lost_sectors} sectors lost"
    )
    for line in outcome.wrong:
        print(f"WRONG {line}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
