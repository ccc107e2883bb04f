"""What is special about each driver; what both can do is tested by the calls that they carry."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pycontainerd.errors import Unavailable
from pycontainerd.rpc.asyncio_driver import DONE, AsyncioDriver
from pycontainerd.rpc.blocking_driver import BlockingDriver, Cancelled


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as made:
        yield made


def test_a_coroutine_that_need_not_wait_is_done_at_once(runner: asyncio.Runner) -> None:
    async def main() -> None:
        seen: list[int] = []

        async def quick() -> None:
            seen.append(1)

        assert AsyncioDriver().spawn(quick(), name="quick") is DONE
        assert seen == [1]

    runner.run(main())


def test_timeouts_and_groups_work_from_the_first_step_on(runner: asyncio.Runner) -> None:
    async def main() -> list[str]:
        driver, seen, ended = AsyncioDriver(), [], asyncio.Event()

        async def call() -> None:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                seen.append("timeout")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(failing())
                    await asyncio.Event().wait()
            except* ValueError:
                seen.append("group")
            ended.set()

        async def failing() -> None:
            raise ValueError

        driver.spawn(call(), name="call")
        await ended.wait()
        return seen

    assert runner.run(main()) == ["timeout", "group"]


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_task_is_cancelled_whenever_that_comes(runner: asyncio.Runner, turns: int) -> None:
    async def main() -> list[str]:
        driver, seen, ended = AsyncioDriver(), [], asyncio.Event()

        async def call() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            finally:
                await asyncio.sleep(0)
                ended.set()

        task = driver.spawn(call(), name="call")
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await ended.wait()
        return seen

    assert runner.run(main()) == ["cancelled"]


def test_the_first_step_keeps_its_context_to_itself(runner: asyncio.Runner) -> None:
    import contextvars

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    async def main() -> list[str]:
        driver, seen, ended = AsyncioDriver(), [], asyncio.Event()

        async def call() -> None:
            variable.set("inside")
            await asyncio.sleep(0)
            seen.append(variable.get())
            ended.set()

        driver.spawn(call(), name="call")
        seen.append(variable.get())
        await ended.wait()
        return seen

    assert runner.run(main()) == ["outside", "inside"]


@pytest.mark.parametrize("early", [True, False])
def test_a_result_may_come_before_or_after_its_reader(runner: asyncio.Runner, early: bool) -> None:
    async def main() -> Any:
        driver = AsyncioDriver()
        waiter = driver.waiter()
        if early:
            waiter.set(1)
        else:
            driver.call_later(0, lambda: waiter.set(1))
        value = await waiter
        waiter.set(2)
        waiter.fail(ValueError())
        return value, await waiter

    assert runner.run(main()) == (1, 1)


def test_blocking_runs_what_waits_for_descriptors_beside_each_other() -> None:
    reading, writing = os.pipe()
    with BlockingDriver() as driver:

        async def reader() -> None:
            await driver.readable(reading)
            read.set(os.read(reading, 10))

        async def main() -> bytes:
            driver.spawn(reader(), name="reader")
            await driver.writable(writing)
            os.write(writing, b"hello")
            received: bytes = await read
            return received

        read = driver.waiter()
        assert driver.run(main()) == b"hello"
    os.close(reading)
    os.close(writing)


def test_blocking_watches_regular_files(scratch: Path) -> None:
    path = scratch / "file"
    path.write_bytes(b"x")
    with BlockingDriver() as driver, path.open("rb") as file:
        driver.run(driver.readable(file.fileno()))


def test_blocking_sleeps_in_order() -> None:
    seen: list[int] = []
    with BlockingDriver() as driver:

        async def sleeper(number: int) -> None:
            await driver.sleep(number / 1000)
            seen.append(number)

        async def main() -> None:
            for number in (5, 1, 3):
                driver.spawn(sleeper(number), name="sleeper")
            await driver.sleep(0.02)

        driver.run(main())
    assert seen == [1, 3, 5]


def test_blocking_cancels_what_waits() -> None:
    seen: list[str] = []
    with BlockingDriver() as driver:

        async def call() -> None:
            try:
                await driver.waiter()
            except Cancelled:
                seen.append("cancelled")
                raise

        async def main() -> None:
            task = driver.spawn(call(), name="call")
            task.cancel()
            task.cancel()
            await driver.sleep(0)

        driver.run(main())
    assert seen == ["cancelled"]


def test_blocking_raises_what_a_spawned_coroutine_breaks_with() -> None:
    with BlockingDriver() as driver:

        async def broken() -> None:
            await driver.sleep(0)
            raise ValueError("broken")

        async def main() -> None:
            driver.spawn(broken(), name="broken")
            await driver.waiter()

        with pytest.raises(ValueError, match="broken"):
            driver.run(main())


def test_blocking_does_not_wait_for_what_can_not_happen() -> None:
    with BlockingDriver() as driver:

        async def main() -> None:
            await driver.waiter()

        with pytest.raises(RuntimeError, match="can never happen"):
            driver.run(main())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT means KeyboardInterrupt, even in a run that was started in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_lets_the_coroutine_clean_up(interruptible: None) -> None:
    seen: list[str] = []
    with BlockingDriver() as driver:

        async def main() -> None:
            driver.call_later(0.01, lambda: os.kill(os.getpid(), signal.SIGINT))
            try:
                await driver.sleep(60)
            finally:
                await driver.sleep(0)
                seen.append("clean")

        with pytest.raises(KeyboardInterrupt):
            driver.run(main())
    assert seen == ["clean"]


class Recorder:
    """A connection that writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.transport: Any = None

    def connected(self, transport: Any) -> None:
        self.transport = transport

    def received(self, data: bytes) -> None:
        self.seen.append(len(data))

    def pause_writing(self) -> None:
        self.seen.append("pause")

    def resume_writing(self) -> None:
        self.seen.append("resume")

    def lost(self, error: BaseException | None) -> None:
        self.seen.append(("lost", error))


def test_a_blocking_transport_keeps_what_the_socket_does_not_take() -> None:
    left, right = socket.socketpair()
    connection = Recorder()
    with BlockingDriver() as driver, right:
        transport = driver.adopt(left, connection)
        pieces = [bytes((number,)) * 100_000 for number in range(20)]
        transport.writelines(pieces)
        transport.write(b"end")
        assert connection.seen == ["pause"]
        received = bytearray()

        async def reader(size: int) -> None:
            while len(received) < size:
                await driver.readable(right.fileno())
                received.extend(right.recv(1 << 20))

        driver.run(reader(2_000_003))
        assert connection.seen == ["pause", "resume"]
        transport.close()
        driver.run(driver.sleep(0))
        assert received == b"".join(pieces) + b"end"
        assert connection.seen == ["pause", "resume", ("lost", None)]


def test_a_blocking_transport_that_pauses_reads_nothing() -> None:
    left, right = socket.socketpair()
    connection = Recorder()
    with BlockingDriver() as driver, right:
        transport = driver.adopt(left, connection)
        transport.pause_reading()
        right.sendall(b"hello")
        driver.run(driver.sleep(0.01))
        assert connection.seen == []
        transport.resume_reading()
        driver.run(driver.sleep(0.01))
        assert connection.seen == [5]


def test_a_server_that_takes_no_connection_is_unavailable(scratch: Path) -> None:
    path = str(scratch / "s")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first, BlockingDriver() as driver:
        full.bind(path)
        full.listen(0)
        first.connect(path)
        with pytest.raises(Unavailable, match="takes no more connections"):
            driver.run(driver.connect_unix(path, Recorder(), timeout_s=0.02))
        with pytest.raises(FileNotFoundError):
            driver.run(driver.connect_unix(path + "x", Recorder()))


@pytest.mark.parametrize(
    "module", ["pycontainerd.rpc.grpc.client", "pycontainerd.rpc.grpc.server", "pycontainerd.rpc.blocking_driver"]
)
def test_the_cores_load_no_event_loop(module: str) -> None:
    banned = "{'asyncio', 'ssl', 'uvloop', 'hpack', 'selectors', 'subprocess', 'zlib'}"
    if module != "pycontainerd.rpc.grpc.client":
        banned = "{'asyncio', 'ssl', 'uvloop', 'hpack'}"
    code = f"import sys, {module}; print(sorted({banned} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
