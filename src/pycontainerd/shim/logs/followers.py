"""Those who read along: each has a queue of its own, with a bound. Nobody waits for them."""

from __future__ import annotations

from collections import deque
from typing import Final

from pycontainerd.errors import ResourceExhausted
from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.loop import Loop

BACKLOG: Final = 1 << 20
"""Bytes that may wait for a follower that asks for nothing else."""

MOST: Final = 64 << 20
"""Bytes that may wait for any."""

Piece = tuple[str, bytes]
"""The name of a stream, and what came from it."""


class Follower:
    """One who reads along."""

    __slots__ = ("_arrived", "_backlog", "_behind", "_loop", "_pieces", "_state")

    def __init__(self, loop: Loop, backlog: int) -> None:
        self._loop = loop
        self._backlog = min(backlog or BACKLOG, MOST)
        self._pieces: deque[Piece] = deque()
        self._behind = 0
        self._arrived: LoopWaiter | None = None
        self._state = "open"

    async def next(self) -> Piece | None:
        """The next piece, None after the last. Raises ResourceExhausted if it was left behind."""
        while not self._pieces:
            if self._state == "left behind":
                raise ResourceExhausted(f"the reader of this output is more than {self._backlog} bytes behind")
            if self._state == "ended":
                return None
            self._arrived = self._loop.waiter()
            await self._arrived
        piece = self._pieces.popleft()
        self._behind -= len(piece[1])
        return piece

    def offer(self, piece: Piece) -> bool:
        """Queues *piece*; False if that is too much, and all is given up then."""
        self._behind += len(piece[1])
        if self._behind > self._backlog:
            self._pieces.clear()
            self._turn("left behind")
            return False
        self._pieces.append(piece)
        self._wake()
        return True

    def end(self) -> None:
        """Nothing more will come."""
        self._turn("ended")

    def _turn(self, state: str) -> None:
        self._state = state
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set(None)


class Followers:
    """All who read along in one log."""

    __slots__ = ("_ended", "_loop", "_open")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._open: list[Follower] = []
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._open)

    def join(self, backlog: int) -> Follower:
        """A new one, who gets what comes from now on."""
        follower = Follower(self._loop, backlog)
        if self._ended:
            follower.end()
        else:
            self._open.append(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """It wants no more."""
        if follower in self._open:
            self._open.remove(follower)

    def tell(self, stream: str, data: bytes) -> None:
        """Passes *data* on; who can't keep up is left behind."""
        self._open = [follower for follower in self._open if follower.offer((stream, data))]

    def end(self) -> None:
        """The output has ended."""
        self._ended = True
        for follower in self._open:
            follower.end()
        self._open.clear()
