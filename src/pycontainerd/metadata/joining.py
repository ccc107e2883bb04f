"""Stored bytes of objects joined to the bytes of a reply, without decoding one of them."""

from __future__ import annotations

from collections.abc import Iterable


def joined(wires: Iterable[bytes], field: int = 1) -> bytes:
    """A message whose repeated (or only) message field number *field*, 15 at most, holds *wires*."""
    tag = bytes((field << 3 | 2,))
    parts: list[bytes] = []
    for wire in wires:
        parts += (tag, _varint(len(wire)), wire)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
