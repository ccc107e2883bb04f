"""What the protocols need of an event loop, so that they run in each of our three.

asyncio drives them in the daemon, `shim.loop` in a shim, and a blocking driver in command lines. The code below
this seam is `async def` over `Waiter`s; it imports no loop. A driver is chosen where a process starts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Waiter(Protocol[T]):
    """A result that one coroutine waits for: `value = await waiter`. Set once; setting it again does nothing."""

    def set(self, value: T) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def done(self) -> bool: ...

    def __await__(self) -> Generator[Any, None, T]: ...


class Task(Protocol):
    """A coroutine that the driver runs beside others."""

    def cancel(self) -> object:
        """Raises the driver's `cancelled` exception inside the coroutine at its next step."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None: ...


class Driver(Protocol):
    """An event loop, seen from the protocols."""

    cancelled: type[BaseException]
    """What is raised in a coroutine that is cancelled; passes through `except Exception`."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""

    def waiter(self) -> Waiter[Any]: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> Task:
        """Runs *coroutine* beside the caller; it may take its first step before this returns.

        Its owner is the connection, which cancels it when it ends.
        """

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer: ...


class Transport(Protocol):
    """One side of a connection: bytes out, and a brake for bytes in."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queues *data*; never blocks. `Connection.pause_writing` tells when the queue is long."""

    def writelines(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """Queues *pieces*, one after the other, without joining them where the loop can do so."""

    def close(self) -> None:
        """Sends what is queued, then closes."""

    def abort(self) -> None:
        """Closes now."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    @property
    def peer(self) -> Peer | None:
        """Who is at the other end of a unix socket."""


class Connection(Protocol):
    """What a driver calls when something happens on a transport."""

    def connected(self, transport: Transport) -> None: ...

    def received(self, data: bytes) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def lost(self, error: BaseException | None) -> None: ...


class Peer(NamedTuple):
    """Credentials of the process at the other end of a unix socket; see SO_PEERCRED in unix(7)."""

    pid: int
    uid: int
    gid: int
