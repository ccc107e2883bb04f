"""What header fields must be (RFC 9113, section 8): who breaks this gets the stream reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontainerd.rpc.http2.static_table import Field

_REQUEST: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED: Final = (b":method", b":scheme", b":path")
_RESPONSE: Final = frozenset((b":status",))
_NO_PSEUDO: Final[frozenset[bytes]] = frozenset()
_OF_CONNECTION: Final = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_NAME_FORBIDS: Final = bytes(range(0x21)) + bytes(range(0x41, 0x5B)) + bytes(range(0x7F, 0x100))
_VALUE_FORBIDS: Final = b"\x00\r\n"


class Malformed(Exception):
    """A list of header fields that breaks the rules."""


def check_request(fields: Sequence[Field]) -> int:
    """The content length that the fields of a request promise, -1 for none. Raises Malformed."""
    pseudo, length = _check(fields, _REQUEST)
    missing = [name for name in _REQUIRED if not pseudo.get(name)]
    if missing:
        raise Malformed(f"request without {missing[0].decode()}")
    return length


def check_response(fields: Sequence[Field]) -> int:
    """The content length that the fields of a response promise, -1 for none. Raises Malformed."""
    pseudo, length = _check(fields, _RESPONSE)
    if b":status" not in pseudo:
        raise Malformed("response without :status")
    return length


def check_trailers(fields: Sequence[Field]) -> int:
    """Returns -1: trailers promise nothing. Raises Malformed."""
    _check(fields, _NO_PSEUDO)
    return -1


def _check(fields: Sequence[Field], allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], int]:
    pseudo: dict[bytes, bytes] = {}
    length = -1
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name in pseudo or name not in allowed:
                raise Malformed(f"pseudo-header {name!r} is unknown, comes twice or late")
            pseudo[name] = value
            continue
        regular = True
        _check_regular(name, value)
        if name == b"content-length":
            length = _content_length(value, length)
    return pseudo, length


def _check_regular(name: bytes, value: bytes) -> None:
    if not name or name.translate(None, _NAME_FORBIDS) != name:
        raise Malformed(f"header name {name!r}")
    if value.translate(None, _VALUE_FORBIDS) != value:
        raise Malformed(f"value of header {name!r}")
    if name in _OF_CONNECTION or (name == b"te" and value != b"trailers"):
        raise Malformed(f"header {name!r} has no place in HTTP/2")


def _content_length(value: bytes, known: int) -> int:
    if not value.isdigit() or len(value) > 18 or known not in (-1, int(value)):
        raise Malformed(f"content-length {value!r}")
    return int(value)
