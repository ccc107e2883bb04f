"""Output of a process reaches whatever our own streams are, byte for byte."""

from __future__ import annotations

import os
import pty
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from pycontainerd.commands.ctr.container.output import Output
from pycontainerd.rpc.blocking_driver import BlockingDriver

DATA = bytes(range(256)) * 8192
"""More than any pipe holds."""


class Target:
    """A descriptor to write to, and what has arrived behind it."""

    def __init__(self, target: int, arrived: Callable[[], bytes]) -> None:
        self.target, self.arrived = target, arrived


@contextmanager
def read_along(source: int, target: int) -> Iterator[Target]:
    """*source* is read in a thread as long as somebody writes to *target*."""
    found: list[bytes] = []

    def read() -> None:
        while sum(map(len, found)) < len(DATA) and (data := os.read(source, 1 << 16)):
            found.append(data)

    reader = threading.Thread(target=read)
    reader.start()

    def arrived() -> bytes:
        reader.join(60)
        return b"".join(found)

    yield Target(target, arrived)
    os.close(target)
    os.close(source)


@contextmanager
def pipe(path: Path) -> Iterator[Target]:
    source, target = os.pipe()
    with read_along(source, target) as made:
        yield made


@contextmanager
def connection(path: Path) -> Iterator[Target]:
    source, target = socket.socketpair()
    with read_along(source.detach(), target.detach()) as made:
        yield made


@contextmanager
def terminal(path: Path) -> Iterator[Target]:
    source, target = pty.openpty()
    tty.setraw(target)
    with read_along(source, target) as made:
        yield made


@contextmanager
def file(path: Path, flags: int = 0) -> Iterator[Target]:
    target = os.open(path / "file", os.O_WRONLY | os.O_CREAT | flags)
    yield Target(target, (path / "file").read_bytes)
    os.close(target)


@contextmanager
def appended(path: Path) -> Iterator[Target]:
    with file(path, os.O_APPEND) as made:
        yield made


def copied(path: Path, target: int, data: bytes) -> None:
    """Copies what a thread writes to a fifo, until it closes it."""
    os.mkfifo(path / "fifo")
    source = os.open(path / "fifo", os.O_RDONLY | os.O_NONBLOCK)

    def write() -> None:
        with (path / "fifo").open("wb") as fifo:
            fifo.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with BlockingDriver() as driver, ExitStack() as stack:
        stack.callback(writer.join, 60)
        stack.callback(os.close, source)
        driver.run(Output(driver, source, target).copy())


@pytest.mark.parametrize("make", [pipe, connection, terminal, file, appended])
def test_all_bytes_arrive(tmp_path: Path, make: Callable[[Path], AbstractContextManager[Target]]) -> None:
    with make(tmp_path) as made:
        copied(tmp_path, made.target, DATA)
        assert made.arrived() == DATA


def test_a_fifo_that_nobody_ever_wrote_to_ends_with_the_process(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    source = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with BlockingDriver() as driver, file(tmp_path) as made:
        output = Output(driver, source, made.target)

        async def body() -> None:
            task = driver.spawn(output.copy(), name="copy")
            assert not task.finished
            output.process_has_ended()
            await driver.sleep(0)
            assert task.finished

        driver.run(body())
    os.close(source)


def test_a_reader_that_leaves_is_an_error(tmp_path: Path) -> None:
    source, target = os.pipe()
    os.close(source)
    with pytest.raises(BrokenPipeError):
        copied(tmp_path, target, b"some")
    os.close(target)
