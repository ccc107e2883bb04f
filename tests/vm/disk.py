"""A disk of a virtual machine that loses, when its power is cut, what was written but never flushed.

QEMU reads and writes it over the NBD protocol (doc/proto.md of the NBD project), through a unix socket. What the
machine has written is seen by its reads at once, as with any disk that has a cache; only a flush, or a write with FUA,
makes it last. At a cut each block of 4 KiB that was written since then is, by chance, the new one or the old one: a
cache writes back in any order.
"""

from __future__ import annotations

import mmap
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import Final

SECTOR: Final = 512
BLOCK: Final = 8
"""Sectors that a disk writes as one, as today's do: xfs relies on it that a block of metadata is never torn."""

_OPTION_MAGIC: Final = b"IHAVEOPT"
_REPLY_MAGIC: Final = 0x3E889045565A9
_OPT_ABORT, _OPT_GO = 2, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED = 1, 3, (1 << 31) + 1
_FLAGS: Final = 1 | 4 | 8  # has flags, sends FLUSH, sends FUA
_FUA: Final = 1
_REQUEST: Final = struct.Struct(">IHHQQI")
_INVALID: Final = 22


class Kind(IntEnum):
    """What a request asks for."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3


class Disk:
    """A disk of which *path* is the content; it lasts from one machine to the next."""

    def __init__(self, path: Path, address: Path) -> None:
        self.address = address
        self.lost = 0
        self.flushes = 0
        self._lock = threading.Lock()
        self._file = path.open("r+b")
        self._content = mmap.mmap(self._file.fileno(), 0)
        self._old: dict[int, bytes] = {}

    def close(self) -> None:
        self._content.close()
        self._file.close()

    @property
    def drive(self) -> str:
        """The value of QEMU's `-drive`."""
        place = f"file.driver=nbd,file.server.type=unix,file.server.path={self.address}"
        return f"{place},format=raw,if=virtio,cache=writeback"

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serves one machine, from its start to its end."""
        self.address.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.address))
        listener.listen(1)
        thread = threading.Thread(target=self._serve, args=(listener,), name="disk")
        thread.start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            listener.close()

    def cut(self, power_off: Callable[[], None], chance: random.Random) -> None:
        """Turns the machine off by *power_off* between two of its requests, and loses what was not flushed."""
        with self._lock:
            power_off()
            # Some caches have written back nearly all by then, some nearly nothing.
            kept = chance.choice((0.0, 0.1, 0.5, 0.9))
            lost = {block: chance.random() >= kept for block in sorted({sector // BLOCK for sector in self._old})}
            for sector, old in self._old.items():
                if lost[sector // BLOCK]:
                    self._content[sector * SECTOR : (sector + 1) * SECTOR] = old
                    self.lost += 1
            self._old.clear()

    # --- what the machine does to it

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def write(self, offset: int, data: bytes, *, lasting: bool) -> None:
        for sector in range(offset // SECTOR, (offset + len(data)) // SECTOR):
            if lasting:
                self._old.pop(sector, None)
            elif sector not in self._old:
                self._old[sector] = self._content[sector * SECTOR : (sector + 1) * SECTOR]
        self._content[offset : offset + len(data)] = data

    def flush(self) -> None:
        self._old.clear()
        self.flushes += 1

    # --- the protocol

    def _serve(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # nobody came
        with connection, suppress(ConnectionError):
            if self._agree(connection):
                while self._answer(connection):
                    pass

    def _agree(self, connection: socket.socket) -> bool:
        """Fixed newstyle negotiation. Whether the transmission begins."""
        connection.sendall(b"NBDMAGIC" + _OPTION_MAGIC + struct.pack(">H", 1 | 2))
        _exactly(connection, 4)
        while True:
            header = _exactly(connection, 16)
            option, length = struct.unpack_from(">II", header, 8)
            _exactly(connection, length)
            if option == _OPT_GO:
                export = struct.pack(">HQH", 0, len(self._content), _FLAGS)
                connection.sendall(_option_reply(option, _REP_INFO, export) + _option_reply(option, _REP_ACK))
                return True
            if option == _OPT_ABORT:
                return False
            connection.sendall(_option_reply(option, _REP_UNSUPPORTED))

    def _answer(self, connection: socket.socket) -> bool:
        """Does one request. Whether there may be more."""
        _, flags, kind, handle, offset, length = _REQUEST.unpack(_exactly(connection, _REQUEST.size))
        data = _exactly(connection, length) if kind == Kind.WRITE else b""
        reply, error = b"", 0
        # A cut happens before a request or after it, never after its effect and before its answer is on its way.
        with self._lock:
            match kind:
                case Kind.READ:
                    reply = self.read(offset, length)
                case Kind.WRITE:
                    self.write(offset, data, lasting=bool(flags & _FUA))
                case Kind.FLUSH:
                    self.flush()
                case Kind.DISCONNECT:
                    return False
                case _:
                    error = _INVALID
            connection.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + reply)
        return True


def _option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise ConnectionResetError
        parts += part
    return bytes(parts)
