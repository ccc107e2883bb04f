"""What a seed decides: the lives of all containers, and the faults."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import Final

import pycontainerd.metadata.database
import pycontainerd.runtime.bundle
import pycontainerd.runtime.manager
import pycontainerd.shim.container
import pycontainerd.spawner.server
import pycontainerd.tasks.store  # noqa: F401 - they declare the points
from pycontainerd import faults

CLIENTS: Final = 8
KILLED: Final = 137
CODES: Final = range(1, 120)
"""Below those that mean a signal, above the one that says nothing."""

PARTS: Final = ("metadata.", "runtime.", "tasks.", "shim.", "spawner.")
OUTSIDE: Final = {"shim.spawner"}
"""A point that no process of a storm comes to."""
POINTS: Final = sorted({name for part in PARTS for name in faults.points(part)} - OUTSIDE)

CALLS_BETWEEN: Final = 50
"""Calls of clients between two faults; a container takes nine or more."""


class End(Enum):
    """What makes a container's init end."""

    ITSELF = "it ends at once"
    TOLD = "a signal that it handles"
    KILLED = "a signal that it can't handle"


@dataclass(frozen=True, slots=True)
class Life:
    """One container: how its init ends, and the codes of the execs that run beside it; KILLED is killed by a client."""

    id: str
    end: End
    code: int
    execs: tuple[int, ...] = ()


class Victim(Enum):
    """Whom a fault kills: whoever comes to the point, or the one that is chosen of those that live then."""

    POINT = "whoever comes to a point"
    DAEMON = "daemon"
    SPAWNER = "spawner"
    SHIM = "shim"
    RUNC = "runc"
    CLEANER = "what cleans up after a killed shim"


@dataclass(frozen=True, slots=True)
class Fault:
    """One SIGKILL, once *after* calls of clients were answered. *point* is for POINT, *choice* chooses of many."""

    after: int
    victim: Victim
    point: str = ""
    choice: int = 0

    def __str__(self) -> str:
        return self.point or self.victim.value


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    lives: tuple[tuple[Life, ...], ...]
    """By client, in the order in which it runs them."""
    faults: tuple[Fault, ...]

    @classmethod
    def make(cls, seed: int, containers: int) -> Plan:
        chance = random.Random(seed)  # noqa: S311 - a seed shall mean the same storm
        lives = [_life(f"c{number}", chance) for number in range(containers)]
        kills = [_fault(number, chance) for number in range(containers // 6)]
        shares = tuple(tuple(lives[client::CLIENTS]) for client in range(CLIENTS))
        return cls(seed, shares, tuple(kills))


def _life(id_: str, chance: random.Random) -> Life:
    end = chance.choices(list(End), (4, 4, 2))[0]
    code = KILLED if end is End.KILLED else chance.choice(CODES)
    if end is End.ITSELF:
        return Life(id_, end, code)
    execs = chance.choices((0, 1, 2), (5, 3, 1))[0]
    return Life(id_, end, code, tuple(_exec_code(chance) for _ in range(execs)))


def _exec_code(chance: random.Random) -> int:
    return KILLED if chance.random() < 0.2 else chance.choice(CODES)


def _fault(number: int, chance: random.Random) -> Fault:
    after = number * CALLS_BETWEEN + chance.randrange(CALLS_BETWEEN)
    victim = chance.choices(list(Victim), (8, 2, 2, 3, 5, 2))[0]
    point = chance.choice(POINTS) if victim is Victim.POINT else ""
    return Fault(after, victim, point, chance.randrange(1 << 16))
