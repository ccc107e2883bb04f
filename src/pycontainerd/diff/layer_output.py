"""A plain stream on its way into a layer: hashed in one thread, compressed and written in another.

Hashing, compressing and system calls release the interpreter's lock, so that they run beside the walk that makes the
stream. Few pieces are ever in flight.
"""

from __future__ import annotations

import hashlib
import queue
import struct
import threading
import zlib
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self

import zstandard
from isal import isal_zlib

GZIP: Final = "gzip"
ZSTD: Final = "zstd"

GZIP_HEADER: Final = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
"""No name, no time, unknown system: as the original writes it, so that equal trees give equal bytes."""

_GATHERED: Final = 256 * 1024
_IN_FLIGHT: Final = 4
_GZIP_LEVEL: Final = 2
_ZSTD_LEVEL: Final = 3


class Compressor(Protocol):
    """Makes plain bytes smaller; may keep some back until the end."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes:
        """What comes last."""


class _Plain:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Gzip:
    """One member with a header of our own; see RFC 1952."""

    def __init__(self) -> None:
        self._deflate = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, -15)
        self._head = GZIP_HEADER
        self._checksum = self._size = 0

    def compress(self, data: bytes) -> bytes:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        head, self._head = self._head, b""
        return head + bytes(self._deflate.compress(data))

    def flush(self) -> bytes:
        tail = struct.pack("<II", self._checksum, self._size & 0xFFFF_FFFF)
        return self._head + bytes(self._deflate.flush()) + tail


def compressor(name: str) -> Compressor:
    """The one called *name*: empty for none, GZIP or ZSTD."""
    if name == GZIP:
        return _Gzip()
    if name == ZSTD:
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    return _Plain()


class LayerOutput:
    """Takes the plain stream by `write` and gives the layer to *sink*, which writes all it gets.

    Left well, the block has written everything; `digest` is that of the plain stream and *size* the number of bytes of
    the layer. An error of the sink is raised where the stream is written or ended.
    """

    def __init__(self, sink: Callable[[bytes], None], compression: str) -> None:
        self._sink = sink
        self._compressor = compressor(compression)
        self._gathered = bytearray()
        self._to_hash: queue.Queue[bytes | None] = queue.Queue(_IN_FLIGHT)
        self._to_write: queue.Queue[bytes | None] = queue.Queue(_IN_FLIGHT)
        self._hash = hashlib.sha256()
        self._error: BaseException | None = None
        self.size = 0
        self._threads = (
            threading.Thread(target=self._digest, name="hash", daemon=True),
            threading.Thread(target=self._compress, name="compress", daemon=True),
        )

    def write(self, data: bytes) -> None:
        """Adds *data*. Raises OSError."""
        if len(self._gathered) + len(data) < _GATHERED:
            self._gathered += data
            return
        self._pass_on()
        if len(data) < _GATHERED:
            self._gathered += data
        else:
            self._put(data)

    def _pass_on(self) -> None:
        if self._gathered:
            self._put(bytes(self._gathered))
            self._gathered.clear()

    def _put(self, data: bytes | None) -> None:
        if self._error is not None:
            raise self._error
        self._to_hash.put(data)
        self._to_write.put(data)

    def digest(self) -> str:
        """The SHA-256 of the plain stream, `sha256:…`, once the block is left."""
        return f"sha256:{self._hash.hexdigest()}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._error is None:
            self._pass_on()
        self._to_hash.put(None)
        self._to_write.put(None)
        for thread in self._threads:
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _digest(self) -> None:
        while (piece := self._to_hash.get()) is not None:
            self._hash.update(piece)

    def _compress(self) -> None:
        while (piece := self._to_write.get()) is not None:
            self._give(partial(self._compressor.compress, piece))
        self._give(self._compressor.flush)

    def _give(self, make: Callable[[], bytes]) -> None:
        """Writes what *make* gives; after an error only takes what comes, so that nobody waits for room."""
        if self._error is not None:
            return
        try:
            data = make()
            if data:
                self.size += len(data)
                self._sink(data)
        except Exception as error:  # noqa: BLE001 - raised again by who writes
            self._error = error
