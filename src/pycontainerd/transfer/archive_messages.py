"""What the worker that reads an archive says to the daemon: frames in a pipe, bytes in, events out.

A frame is four bytes, little-endian, and so many bytes as their lower 31 bits say: data of the last member if the
highest bit is set, else a message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from pycontainerd.diff.tar.errors import CutShort
from pycontainerd.errors import Error, InvalidArgument, Unknown

MESSAGE_LIMIT: Final = 128 * 1024
DATA_LIMIT: Final = 1 << 20
HEADER: Final = struct.Struct("<I")
IS_DATA: Final = 1 << 31


class ReadRequest(msgspec.Struct, frozen=True):
    """Read the archive in the first descriptor, and write frames to the second; the third is the pipe with whose
    writing end the worker ends. *sniff*: the archive may be compressed.
    """

    sniff: bool = True


class Member(msgspec.Struct, frozen=True, tag=True):
    """The beginning of a member; *size* bytes of data follow if it is a file."""

    name: str
    size: int = 0
    is_file: bool = False
    link_to: str | None = None
    """What a symbolic link says."""


class End(msgspec.Struct, frozen=True, tag=True):
    """The archive is read to its end; what comes behind it is nobody's."""


class Broken(msgspec.Struct, frozen=True, tag=True):
    """The archive can't be read on, and why; *cut*: it has ended too early; *refused*: it asks for too much."""

    reason: str
    cut: bool = False
    refused: bool = False

    def error(self) -> Error:
        """What the daemon raises for it."""
        if self.cut:
            return CutShort()
        return InvalidArgument(self.reason) if self.refused else Unknown(self.reason)


class Data(msgspec.Struct, frozen=True):
    """A piece of the data of the last member."""

    data: memoryview


Message = Member | End | Broken
Event = Message | Data

_encoder: Final = msgspec.msgpack.Encoder()
_messages: Final = msgspec.msgpack.Decoder(Message)
_requests: Final = msgspec.msgpack.Decoder(ReadRequest)


def encode_request(request: ReadRequest) -> bytes:
    return _encoder.encode(request)


def decode_request(data: bytes) -> ReadRequest:
    """Raises msgspec.DecodeError."""
    return _requests.decode(data)


def frame(message: Message) -> bytes:
    """The message in its frame."""
    data = _encoder.encode(message)
    return HEADER.pack(len(data)) + data


class Frames:
    """The events of a stream of frames that comes in pieces of any size."""

    __slots__ = ("_begun", "_left")

    def __init__(self) -> None:
        self._begun = bytearray()
        """A frame that has not come whole; of data no more than its header."""
        self._left = 0
        """Bytes of a frame of data that have not come."""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What *piece* brings; data is a view of it. Raises Unknown for what is no frame."""
        view = memoryview(piece)
        while view:
            if self._left:
                part, view = view[: self._left], view[self._left :]
                self._left -= len(part)
                yield Data(part)
                continue
            wanted = self._wanted() - len(self._begun)
            self._begun += view[:wanted]
            view = view[wanted:]
            event = self._message()
            if event is not None:
                yield event

    def _wanted(self) -> int:
        """How long what has begun is going to be, as far as is known."""
        if len(self._begun) < HEADER.size:
            return HEADER.size
        return HEADER.size + _length(self._begun, MESSAGE_LIMIT)

    def _message(self) -> Message | None:
        if len(self._begun) < HEADER.size:
            return None
        (head,) = HEADER.unpack_from(self._begun)
        if head & IS_DATA:
            self._left = _length(self._begun, DATA_LIMIT)
            self._begun.clear()
            return None
        if len(self._begun) < self._wanted():
            return None
        data = bytes(self._begun[HEADER.size :])
        self._begun.clear()
        try:
            message: Message = _messages.decode(data)
        except msgspec.DecodeError as error:
            raise Unknown(f"the worker that read the archive answered nonsense: {error}") from error
        return message


def _length(begun: bytearray, limit: int) -> int:
    (head,) = HEADER.unpack_from(begun)
    length: int = head & ~IS_DATA
    if length > limit:
        raise Unknown(f"the worker that read the archive answered nonsense: a frame of {length} bytes")
    return length
