"""Connections of the shim: one that fails, and the others."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycontainerd.rpc.driver import Transport
from pycontainerd.shim import address
from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.transport import PAUSE_S, Listener


class Broken:
    """A connection with a defect: in its making, or once something arrives."""

    def __init__(self, lost: LoopWaiter, *, at_once: bool) -> None:
        self.over = lost
        self._at_once = at_once

    def connected(self, transport: Transport) -> None:
        if self._at_once:
            raise ValueError("connected")

    def received(self, data: bytes) -> None:
        raise ValueError("received")

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def lost(self, error: BaseException | None) -> None:
        self.over.set(None)


def test_a_defect_in_a_connection_ends_that_connection_only(tmp_path: Path) -> None:
    told: list[str] = []
    loop = Loop(lambda name, error: told.append(f"{name}: {error}"))
    path = str(tmp_path / "s")
    defects = iter([True, False, False])

    async def main() -> None:
        listening = address.listen(path)
        assert listening is not None
        lost: list[LoopWaiter] = []

        def factory() -> Broken:
            lost.append(loop.waiter())
            return Broken(lost[-1], at_once=next(defects))

        listener = Listener(loop, listening, factory)
        for _ in range(3):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.setblocking(False)
                client.connect(path)
                client.send(b"x")
                await loop.readable(client.fileno())
                loop.forget(client.fileno())
        listener.close()
        assert [waiter.done() for waiter in lost] == [False, True, True]

    loop.run(main())
    assert told == ["accepted connection: connected", "connection: received", "connection: received"]


class Counting(Loop):
    """A loop that counts its callbacks."""

    called = 0

    def _call(self, fd: int, callback: Callable[[], None]) -> None:
        self.called += 1
        super()._call(fd, callback)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """A block in which no descriptor can be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_who_comes_while_no_descriptor_is_left_is_accepted_later(tmp_path: Path) -> None:
    loop = Counting(lambda name, error: pytest.fail(f"{name}: {error}"))
    path = str(tmp_path / "s")

    async def main() -> None:
        listening = address.listen(path)
        assert listening is not None
        accepted: list[Broken] = []

        def factory() -> Broken:
            accepted.append(Broken(loop.waiter(), at_once=False))
            return accepted[-1]

        listener = Listener(loop, listening, factory)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(path)
            with no_descriptor_left():
                await loop.sleep(2.5 * PAUSE_S)
                assert accepted == []
                assert loop.called <= 3  # not once for each turn that there could have been
            while not accepted:
                await loop.sleep(PAUSE_S)
        await accepted[0].over
        listener.close()

    loop.run(main())
