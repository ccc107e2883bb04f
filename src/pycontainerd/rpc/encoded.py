"""Messages with one large field, without copying it into an encoder.

The protobuf encoder moves a megabyte four times before it is bytes. Fields may stand in any order on the wire
(protobuf, "Encoding"), so the rest of the message is encoded by the library, and the field is put behind it as it is.
"""

from __future__ import annotations

from google.protobuf.message import Message

_LENGTH_DELIMITED = 2


class Encoded:
    """A message in encoded form, which a handler may answer, or a client may send, in the place of the message."""

    __slots__ = ("pieces", "size")

    def __init__(self, rest: Message, field: int, data: bytes | memoryview) -> None:
        """The message *rest*, which lacks the bytes field of number *field*, together with that field's *data*."""
        head = rest.SerializeToString() + _varint(field << 3 | _LENGTH_DELIMITED) + _varint(len(data))
        self.pieces: list[bytes | memoryview] = [head, data]
        self.size = len(head) + len(data)

    def SerializeToString(self) -> bytes:  # noqa: N802 - as messages have it, for whoever needs one piece
        return b"".join(self.pieces)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
