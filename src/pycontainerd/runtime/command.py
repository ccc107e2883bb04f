"""Running a foreign program to its end, from the daemon's loop.

Input and output are anonymous files, never pipes: the answer is whole when the program has ended, whoever still holds
its ends, and nothing has to be pumped meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from msgspec import Struct

from pycontainerd.system import process

OUTPUT_LIMIT: Final = 4 << 20
"""Bytes of an answer that are read; the largest honest one is the features document of a runtime."""


class Completed(Struct, frozen=True):
    """How a program ended, and what it wrote; *errors* is empty when both went into *output*."""

    code: int
    output: bytes
    errors: bytes

    @property
    def killed(self) -> bool:
        """Whether a signal has ended it."""
        return self.code >= 128

    @property
    def ending(self) -> str:
        """How it ended, as the original says it: `exit status 1`, `signal: killed`."""
        return f"exit status {self.code}" if not self.killed else f"signal: {self.code - 128}"


async def run(
    arguments: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    stdin: bytes = b"",
    together: bool = False,
    timeout_s: float | None = None,
) -> Completed:
    """Runs a program in a process group of its own; with *together* stdout and stderr are one.

    A program whose caller is cancelled, or that takes longer than *timeout_s*, is killed. Raises OSError if it can't
    be executed, TimeoutError.
    """
    with ExitStack() as stack:
        given = _file(stack, "stdin")
        _fill(given, stdin)
        output = _file(stack, "stdout")
        errors = output if together else _file(stack, "stderr")
        start = partial(
            process.start,
            arguments,
            stdin=given,
            stdout=output,
            stderr=errors,
            cwd=cwd,
            env=env,
            new_group=True,
        )
        with await _started(start) as child:  # leaving kills what still runs
            async with asyncio.timeout(timeout_s or None):
                code = await child.wait(readable)
        return Completed(code, _content(output), b"" if together else _content(errors))


async def _started(start: Callable[[], process.Process]) -> process.Process:
    """What *start* starts in a thread. One whose caller is cancelled meanwhile is killed, before that goes on."""
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])  # the descriptors that it works on are the caller's
        if starting.exception() is None:
            starting.result().close()
        raise


async def readable(descriptor: int) -> None:
    """Returns when *descriptor* is readable."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        loop.remove_reader(descriptor)
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


def _file(stack: ExitStack, name: str) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _fill(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, OUTPUT_LIMIT, 0)
