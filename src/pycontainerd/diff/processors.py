"""Stream processors: programs that make a layer of one media type one of another, one behind the other in a pipe.

Each reads the stream on descriptor 0 and its payload, if the request has one for it, on 3, and writes what it makes of
them to 1. What it says on 2 is the error if it ends with another status than 0.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pycontainerd.diff import media
from pycontainerd.errors import Unknown
from pycontainerd.plugin.registration import StreamProcessor
from pycontainerd.spawner.aio import readable
from pycontainerd.system import process
from pycontainerd.threads import Threads

CHAIN_LIMIT: Final = 16
PAYLOAD_FD: Final = 3
MEDIA_TYPE_VARIABLE: Final = "STREAM_PROCESSOR_MEDIATYPE"

_SAID_LIMIT: Final = 8192


class Step(NamedTuple):
    """One processor, by its id, and the media type that it gets."""

    id: str
    processor: StreamProcessor
    media_type: str


class Plan(NamedTuple):
    """How a layer becomes plain: by programs, then by us; *sniff* if it may still be compressed."""

    steps: tuple[Step, ...]
    sniff: bool


def plan(media_type: str, configured: Mapping[str, StreamProcessor]) -> Plan:
    """The way from *media_type* to a plain layer; the last one configured wins. Raises Unknown if there is none."""
    steps: list[Step] = []
    while media_type != media.PLAIN:
        found = next((id_ for id_ in reversed(list(configured)) if media_type in configured[id_].accepts), None)
        if found is None:
            return Plan(tuple(steps), media.is_compressed(media_type))
        if len(steps) == CHAIN_LIMIT:
            raise Unknown(f"more than {CHAIN_LIMIT} stream processors in a row, the last one {found!r}")
        steps.append(Step(found, configured[found], media_type))
        media_type = configured[found].returns
    return Plan(tuple(steps), sniff=False)


@dataclass(slots=True)
class Stream:
    """What comes out at the end of a chain."""

    fd: int
    _owned: bool = False
    """Whether `fd` is the output of a program, and ours to close."""
    _running: list[tuple[process.Process, int]] = field(default_factory=list)
    """Each program and the file that its complaints go to."""

    def add(self, program: process.Process, said: int, output: int) -> None:
        """Goes on with the *output* of a program that reads what the stream was before."""
        self.close()
        self.fd, self._owned = output, True
        self._running.append((program, said))

    def close(self) -> None:
        if self._owned:
            self._owned = False
            os.close(self.fd)

    async def check(self) -> None:
        """Waits until the programs have ended. Raises Unknown with what the first one said that failed."""
        for program, said in self._running:
            status = await program.wait(readable)
            if status:
                text = os.pread(said, _SAID_LIMIT, 0).decode(errors="replace").strip()
                raise Unknown(text or f"stream processor: exit status {status}")


@asynccontextmanager
async def running(plan_: Plan, blob: int, payloads: Mapping[str, bytes], threads: Threads) -> AsyncIterator[Stream]:
    """Runs the programs of a plan over *blob*. Those that still run when the block is left are killed."""
    with ExitStack() as stack:
        stream = Stream(blob)
        stack.callback(stream.close)
        for step in plan_.steps:
            await threads.run(_start, step, payloads, stream, stack)
        yield stream


def _start(step: Step, payloads: Mapping[str, bytes], stream: Stream, stack: ExitStack) -> None:
    """Starts one program on the stream as it is; its output is the stream afterwards."""
    environment = dict(os.environ)
    environment |= {key: value for key, _, value in (entry.partition("=") for entry in step.processor.env)}
    environment[MEDIA_TYPE_VARIABLE] = step.media_type
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    stack.callback(os.close, said)
    with ExitStack() as here:
        output, writing = os.pipe()
        here.callback(os.close, writing)
        placed = {}
        if (payload := payloads.get(step.id)) is not None:
            placed[PAYLOAD_FD] = os.memfd_create("payload", os.MFD_CLOEXEC)
            here.callback(os.close, placed[PAYLOAD_FD])
            os.write(placed[PAYLOAD_FD], payload)
            os.lseek(placed[PAYLOAD_FD], 0, os.SEEK_SET)
        try:
            program = process.start(
                [step.processor.path, *step.processor.args],
                stdin=stream.fd,
                stdout=writing,
                stderr=said,
                env=environment,
                place_fds=placed,
            )
        except OSError as error:
            os.close(output)
            raise Unknown(f"stream processor {step.processor.path}: {error.strerror}") from error
    stack.callback(program.close)
    stream.add(program, said, output)
