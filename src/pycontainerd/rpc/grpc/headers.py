"""Header fields of gRPC: deadlines, messages and metadata in their wire form (PROTOCOL-HTTP2.md of gRPC)."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from typing import Final

from pycontainerd.errors import Internal
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.http2.static_table import Field

CONTENT_TYPE: Final = b"application/grpc"

_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_DIGITS: Final = 8
_OURS: Final = frozenset((b"te", b"content-type", b"user-agent"))
_UNSAFE: Final = frozenset(range(0x20)) | frozenset(range(0x7F, 0x100)) | {ord("%")}


class MalformedTimeout(Exception):
    """A grpc-timeout that is none."""


def parse_timeout(value: bytes) -> float:
    """The seconds of a `grpc-timeout`. Raises MalformedTimeout."""
    digits, unit = value[:-1], _UNITS_S.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS:
        raise MalformedTimeout(f"malformed grpc-timeout: {value.decode(errors='replace')!r}")
    return int(digits) * unit


def encode_timeout(seconds: float) -> bytes:
    """*seconds* as `grpc-timeout` takes them, in at most eight digits, rounded up."""
    left = max(seconds, 0.0)
    for unit in (b"n", b"u", b"m", b"S", b"M", b"H"):
        amount = left / _UNITS_S[unit]
        if amount < 10**_TIMEOUT_DIGITS - 1:
            return b"%d%b" % (int(amount) + (amount > int(amount)), unit)
    return b"99999999H"


def percent_encoded(message: str) -> bytes:
    """*message* as `grpc-message` carries it."""
    data = message.encode(errors="replace")
    if data.isascii() and message.isprintable() and b"%" not in data:
        return data
    return b"".join([b"%%%02X" % byte if byte in _UNSAFE else bytes((byte,)) for byte in data])


def percent_decoded(value: bytes) -> str:
    """The message within a `grpc-message`; what is no escape stays as it is."""
    if b"%" not in value:
        return value.decode(errors="replace")
    first, *parts = value.split(b"%")
    out = [first]
    for part in parts:
        try:
            byte = binascii.unhexlify(part[:2])
        except binascii.Error:
            byte = b""
        out.append(byte + part[2:] if byte else b"%" + part)
    return b"".join(out).decode(errors="replace")


def encode_binary(value: bytes) -> bytes:
    """The value of a key that ends in `-bin`."""
    return binascii.b2a_base64(value, newline=False).rstrip(b"=")


def decode_binary(value: bytes) -> bytes:
    """The bytes of the value of a `-bin` key, with padding or without. Raises Internal."""
    try:
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=bool(value))
    except binascii.Error:
        raise Internal(f"malformed binary metadata {value[:64]!r}", bare=True) from None


def is_metadata(name: bytes) -> bool:
    """Whether a header field belongs to the application."""
    return not (name.startswith((b":", b"grpc-")) or name in {b"te", b"content-type"})


def to_metadata(fields: Iterable[Field]) -> Metadata:
    """The metadata within *fields*. Raises Internal when binary values are none."""
    out: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if not is_metadata(name):
            continue
        key = name.decode()
        if key.endswith("-bin"):
            # Values of one key may have been joined by commas, binary ones as well.
            out += [(key, decode_binary(part.strip())) for part in value.split(b",")]
        else:
            out.append((key, value.decode(errors="surrogateescape")))
    return tuple(out)


def from_metadata(metadata: Sequence[tuple[str, str | bytes]]) -> list[Field]:
    """*metadata* as header fields. Raises Internal for keys and values that no header may have."""
    out: list[Field] = []
    for key, value in metadata:
        name = key.lower().encode()
        if not is_metadata(name) or name in _OURS or not name.translate(None, b"\x00\r\n :"):
            raise Internal(f"header key {key!r} is reserved or none", bare=True)
        if isinstance(value, bytes):
            out.append((name, encode_binary(value)))
            continue
        if not value.isprintable():
            raise Internal(f"header key {key!r} contains value with non-printable ASCII characters", bare=True)
        out.append((name, value.encode(errors="surrogateescape")))
    return out
