"""Running a foreign program to its end with its output collected; blocks the calling thread."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from pycontainerd.system import process

_CHUNK: Final = 65536


class Completed(Struct, frozen=True):
    """How a program ended: its exit status (128 + signal), what it wrote, whether output beyond the limit was lost."""

    status: int
    stdout: bytes
    stderr: bytes
    cut: bool = False


def run(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    merge: bool = False,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    limit: int = 16 << 20,
    new_group: bool = False,
) -> Completed:
    """Runs a program, feeds it *stdin*, collects at most *limit* bytes each of its output; *merge*: all in stdout.

    Returns when the program has ended and what it left in the pipes is read: children that hold on to the pipes are
    not waited for. Raises TimeoutError after *timeout_s* (the program is killed), OSError if it can't be started.
    """
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = (-1, out_write) if merge else os.pipe()
    inner = {in_read, out_write, err_write}
    outer = {in_write, out_read, err_read} - {-1}
    try:
        with process.start(
            arguments, stdin=in_read, stdout=out_write, stderr=err_write, cwd=cwd, env=env, new_group=new_group
        ) as child:
            while inner:
                os.close(inner.pop())
            exchange = _Exchange(child, outer, in_write, (out_read, err_read), limit)
            return exchange.run(stdin, timeout_s)
    finally:
        for descriptor in inner | outer:
            os.close(descriptor)


class _Exchange:
    """What goes in and out of one program. *open_* is the set of descriptors that the caller will close."""

    def __init__(
        self, child: process.Process, open_: set[int], sink: int, sources: tuple[int, int], limit: int
    ) -> None:
        self.child, self.open, self.sink, self.sources, self.limit = child, open_, sink, sources, limit
        self.rest = memoryview(b"")
        self.collected = {source: bytearray() for source in sources if source >= 0}
        self.cut = False
        self.poll = select.poll()
        for descriptor in open_:
            os.set_blocking(descriptor, False)
            self.poll.register(descriptor, select.POLLOUT if descriptor == sink else select.POLLIN)
        self.poll.register(child.pidfd, select.POLLIN)

    def drop(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        self.open.discard(descriptor)
        os.close(descriptor)

    def run(self, stdin: bytes, timeout_s: float | None) -> Completed:
        self.rest = memoryview(stdin)
        if not stdin:
            self.drop(self.sink)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.child.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                self.child.signal(signal.SIGKILL)
                raise TimeoutError(f"the program has not ended within {timeout_s} s")
            for descriptor, _ in self.poll.poll(None if left is None else left * 1000):
                if descriptor == self.sink:
                    self.feed()
                elif descriptor != self.child.pidfd:
                    self.read(descriptor)
        for source in list(self.collected):
            while source in self.open and self.read(source):
                pass
        stdout, stderr = (bytes(self.collected.get(source, b"")) for source in self.sources)
        return Completed(self.child.wait_blocking(), stdout, stderr, self.cut)

    def feed(self) -> None:
        try:
            self.rest = self.rest[os.write(self.sink, self.rest[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.rest = self.rest[:0]
        if not self.rest:
            self.drop(self.sink)

    def read(self, source: int) -> bool:
        """Reads once; whether there may be more."""
        try:
            data = os.read(source, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.drop(source)
            return False
        kept = self.collected[source]
        kept += data[: self.limit - len(kept)]
        self.cut |= len(kept) >= self.limit
        return True
