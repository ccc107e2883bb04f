"""An archive is read by a worker of its own, whatever becomes of the worker or of the client."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.spawner.aio import Spawner
from pycontainerd.transfer import archive
from pycontainerd.transfer.archive_messages import Broken, Data, End, Event, Member
from tests.harness.spawners import end_spawners
from tests.unit.transfer.test_archive import tar

MEMBERS = [("first", bytes(3 << 20)), ("second", b"x" * 1000)]
TAR = tar(MEMBERS)
Test = Callable[[Spawner], Awaitable[None]]


@pytest.fixture
def run(scratch: Path) -> Iterator[Callable[[Test], None]]:
    def running(test: Test) -> None:
        async def main() -> None:
            spawner = Spawner(str(scratch / "s"))
            try:
                await test(spawner)
            finally:
                await spawner.close()

        asyncio.run(main())

    yield running
    end_spawners(scratch / "s")


async def cut(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 32_768):
        yield data[start : start + 32_768]


async def endless(data: bytes) -> AsyncIterator[bytes]:
    """A client that has sent all, and doesn't say so."""
    async for piece in cut(data):
        yield piece
    await asyncio.Event().wait()


async def broken_off(data: bytes) -> AsyncIterator[bytes]:
    async for piece in cut(data):
        yield piece
    raise InvalidArgument("the client talks nonsense")


async def files(events: AsyncIterator[Event]) -> dict[str, bytes]:
    found: dict[str, bytearray] = {}
    name = ""
    async for event in events:
        match event:
            case Member(name):
                found[name] = bytearray()
            case Data(data):
                found[name] += data
            case Broken(reason):
                raise Unknown(reason)
            case End():
                break
    return {name: bytes(data) for name, data in found.items()}


@pytest.mark.parametrize("client", [cut, endless])
def test_its_members_come_back(run: Callable[[Test], None], client: Callable[[bytes], AsyncIterator[bytes]]) -> None:
    async def test(spawner: Spawner) -> None:
        async with archive.opened(spawner, client(TAR + bytes(1 << 20)), sniff=True) as events:
            assert await files(events) == dict(MEMBERS)

    run(test)


def test_an_error_of_the_client_is_told_where_it_is_met(run: Callable[[Test], None]) -> None:
    async def test(spawner: Spawner) -> None:
        async with archive.opened(spawner, broken_off(TAR[: 1 << 20]), sniff=True) as events:
            with pytest.raises(InvalidArgument, match="nonsense"):
                await files(events)

    run(test)


def test_an_error_of_the_block_is_raised_as_it_is(run: Callable[[Test], None]) -> None:
    async def test(spawner: Spawner) -> None:
        with pytest.raises(ZeroDivisionError):
            async with archive.opened(spawner, endless(b""), sniff=True):
                raise ZeroDivisionError

    run(test)


def test_a_worker_that_is_killed_fails_the_import(run: Callable[[Test], None]) -> None:
    async def test(spawner: Spawner) -> None:
        async with archive.opened(spawner, endless(TAR[:512]), sniff=True) as events:
            assert isinstance(await anext(events), Member)
            os.kill(worker_of(os.getpid()), signal.SIGKILL)
            with pytest.raises(Unknown, match="has ended with status 137 and no answer"):
                await files(events)

    run(test)


def worker_of(daemon: int) -> int:
    """The worker that reads an archive for this process: who else has its pipes?"""
    pipes = {
        os.readlink(f"/proc/{daemon}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon}/fd") if fd_is_there(daemon, fd)
    }
    for entry in Path("/proc").iterdir():
        try:
            title = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if title.startswith(b"containerd-worker\0import"):
                links = {os.readlink(fd) for fd in (entry / "fd").iterdir()}
                if any(link.startswith("pipe:") for link in links & pipes):
                    return int(entry.name)
        except OSError:
            continue
    raise AssertionError("there is no worker")


def fd_is_there(pid: int, fd: str) -> bool:
    return os.path.lexists(f"/proc/{pid}/fd/{fd}")
