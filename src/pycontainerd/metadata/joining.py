"""Stored bytes of objects joined to the bytes of a reply, without decoding one of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache


def joined(wires: Iterable[bytes], field: int = 1) -> bytes:
    """A message whose repeated (or only) message field number *field*, 15 at most, holds *wires*."""
    heads = _heads(field)
    parts: list[bytes] = []
    for wire in wires:
        size = len(wire)
        parts += (heads[size] if size < _SMALL else _head(field, size), wire)
    return b"".join(parts)


_SMALL = 1_024
"""Messages below it are most of what is listed: what stands before them is made once."""


@cache
def _heads(field: int) -> list[bytes]:
    return [_head(field, size) for size in range(_SMALL)]


def _head(field: int, size: int) -> bytes:
    """The tag of a message field and its length."""
    out = bytearray((field << 3 | 2,))
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
