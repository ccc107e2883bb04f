"""As much of protobuf's wire form as the executable's own few messages need.

The executable runs for each container of a foreign daemon, twice; loading protobuf would take 25 ms of it each time.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
BYTES: Final = 2
_FIXED: Final = {1: 8, 5: 4}
_VARINT_LIMIT: Final = 10
_MASK: Final = (1 << 64) - 1

Fields = dict[int, list[int | bytes]]


def parse(data: bytes) -> Fields:
    """The values of each field of a message, in order. Raises ValueError if *data* is none."""
    fields: Fields = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == VARINT:
            value, position = _varint(data, position)
        else:
            if kind == BYTES:
                length, position = _varint(data, position)
            elif kind in _FIXED:
                length = _FIXED[kind]
            else:
                raise ValueError(f"field {number} has the unknown wire type {kind}")
            value, position = data[position : position + length], position + length
        if position > len(data) or not number:
            raise ValueError("the message is cut off")
        fields.setdefault(number, []).append(value)
    return fields


def text(fields: Fields, number: int) -> str:
    """The last value of a string field, nothing if it is absent. Raises ValueError if it is no text."""
    value = fields.get(number, [b""])[-1]
    if isinstance(value, bytes):
        return value.decode()
    raise ValueError(f"field {number} is no text")


def message(fields: Fields, number: int) -> list[Fields]:
    """The values of a message field. Raises ValueError."""
    return [parse(value) for value in fields.get(number, []) if isinstance(value, bytes)]


def signed(fields: Fields, number: int) -> int:
    """The last value of an int or enum field, 0 if it is absent."""
    value = fields.get(number, [0])[-1]
    if isinstance(value, int):
        return value - (1 << 64) if value >> 63 else value
    raise ValueError(f"field {number} is no number")


def encode(fields: dict[int, int | str | bytes]) -> bytes:
    """A message of *fields*; zeros and empty values are left out."""
    parts = []
    for number, value in fields.items():
        if not value:
            continue
        if isinstance(value, int):
            parts += [_encoded(number << 3 | VARINT), _encoded(value & _MASK)]
        else:
            data = value.encode() if isinstance(value, str) else value
            parts += [_encoded(number << 3 | BYTES), _encoded(len(data)), data]
    return b"".join(parts)


def timestamp(at_ns: int) -> bytes:
    """google.protobuf.Timestamp of nanoseconds since 1970."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return encode({1: seconds, 2: nanoseconds})


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + _VARINT_LIMIT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _MASK, position + index + 1
    raise ValueError("a number is cut off")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
