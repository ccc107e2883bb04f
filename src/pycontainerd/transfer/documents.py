"""JSON that comes from outside, with the messages of the original."""

from __future__ import annotations

from typing import Final, TypeVar

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.oci import image

LIMIT: Final = image.DOCUMENT_LIMIT
"""Bytes of the longest document that is read."""

_BEGINNINGS: Final = frozenset(bytes([character]) for character in b'{["-0123456789tfn')

T = TypeVar("T")


def decode(kind: type[T], data: bytes, context: str = "") -> T:
    """Reads *data* as a *kind*. Raises Unknown, with *context* before, if it is too long or no such document."""
    check(data, context)
    try:
        return image.decode(kind, data, name=context or "document")
    except InvalidArgument as error:
        raise Unknown(error.message) from error


def check(data: bytes, context: str = "") -> None:
    """Raises Unknown, with the words of the original, for a text that doesn't even begin as JSON does."""
    prefix = f"{context}: " if context else ""
    begin = data.lstrip(b" \t\r\n")[:1]
    if not begin:
        raise Unknown(f"{prefix}EOF")
    if begin not in _BEGINNINGS:
        raise Unknown(f"{prefix}invalid character '{begin.decode(errors='replace')}' looking for beginning of value")
