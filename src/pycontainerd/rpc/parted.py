"""Requests with one large field, without copying it out of a decoder.

The protobuf decoder moves eight megabytes twice before they are a field, in fresh memory each time: longer than it
takes to hash them. Here the field stays where it came, and the library decodes the rest of the message. The counterpart
of `encoded`.

    @parted(pb.WriteContentRequest, field=6)
    async def write(self, requests: AsyncIterator[Parted[pb.WriteContentRequest]], call: Call) -> …
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message
from msgspec import Struct

M = TypeVar("M", bound=Message)
F = TypeVar("F", bound=Callable[..., Any])

SMALL: Final = 32_768
"""Bytes of a message that is decoded as usual."""

_FIELDS_LIMIT: Final = 64
"""Fields that are looked through; a message with more of them is decoded as usual, so that none holds up the loop."""


class Parted(Struct, Generic[M], frozen=True):
    """A request: *message* lacks the large field if that was large, *data* is the field."""

    message: M
    data: bytes | memoryview


class PartedType(Generic[M]):
    """Decodes requests of one type; stands where a message type stands."""

    __slots__ = ("_field", "_kind")

    def __init__(self, kind: type[M], field: int) -> None:
        self._kind = kind
        self._field = field

    def FromString(self, data: bytes) -> Parted[M]:  # noqa: N802 - as message types have it
        """Raises DecodeError as message types do."""
        found = _find(data, self._field) if len(data) > SMALL else None
        if found is None:
            message = self._kind.FromString(data)
            return Parted(message, getattr(message, message.DESCRIPTOR.fields_by_number[self._field].name))
        before, begin, end = found
        return Parted(self._kind.FromString(data[:before] + data[end:]), memoryview(data)[begin:end])


def parted(kind: type[M], *, field: int) -> Callable[[F], F]:
    """Lets a method of a service take its requests as `Parted`s, the field of number *field* being the large one."""

    def mark(function: F) -> F:
        function.request_type = PartedType(kind, field)  # type: ignore[attr-defined] # read by the service table
        return function

    return mark


def _find(data: bytes, wanted: int) -> tuple[int, int, int] | None:
    """Where the only field *wanted* begins, its content begins, and it ends; None where that is not so simple."""
    found: tuple[int, int, int] | None = None
    position = 0
    try:
        for _ in range(_FIELDS_LIMIT):
            if position == len(data):
                return found
            begin = position
            tag, position = _varint(data, position)
            match tag & 7:
                case 0:
                    _, position = _varint(data, position)
                case 1:
                    position += 8
                case 2:
                    length, position = _varint(data, position)
                    if tag >> 3 == wanted:
                        if found is not None:
                            return None
                        found = begin, position, position + length
                    position += length
                case 5:
                    position += 4
                case _:
                    return None
            if position > len(data):
                return None
    except IndexError:
        return None
    return None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise IndexError(position)
