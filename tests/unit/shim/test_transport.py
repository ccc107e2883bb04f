"""Connections of the shim: one that fails, and the others."""

from __future__ import annotations

import socket
from pathlib import Path

from pycontainerd.rpc.driver import Transport
from pycontainerd.shim import address
from pycontainerd.shim.loop import Loop, LoopWaiter
from pycontainerd.shim.transport import Listener


class Broken:
    """A connection with a defect: in its making, or once something arrives."""

    def __init__(self, lost: LoopWaiter, *, at_once: bool) -> None:
        self._lost = lost
        self._at_once = at_once

    def connected(self, transport: Transport) -> None:
        if self._at_once:
            raise ValueError("connected")

    def received(self, data: bytes) -> None:
        raise ValueError("received")

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def lost(self, error: BaseException | None) -> None:
        self._lost.set(None)


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
