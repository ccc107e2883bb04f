"""Frames: their numbers, and how they are put into bytes (RFC 9113, sections 4, 6 and 7)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, TypeVar

T = TypeVar("T", bytes, "bytes | memoryview")

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

HEADER: Final = Struct(">IBI")
"""Length (24 bits) and type (8) as one number, flags, stream."""

HEADER_SIZE: Final = 9
PRIORITY_SIZE: Final = 5
SMALLEST_MAX_FRAME: Final = 16_384
LARGEST_MAX_FRAME: Final = 16_777_215
LARGEST_WINDOW: Final = 2_147_483_647
DEFAULT_WINDOW: Final = 65_535
LARGEST_STREAM: Final = 2_147_483_647

_SETTING: Final = Struct(">HI")
_WORD: Final = Struct(">I")


class ErrorCode(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """What a side tells about itself."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ProtocolError(Exception):
    """The peer broke the protocol or went over a limit: the connection ends with *code*."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame in bytes."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings_frame(settings: dict[Setting, int]) -> bytes:
    """A SETTINGS frame that says *settings*."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in settings.items()))


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings within the *payload* of a SETTINGS frame, in order, unknown ones as well."""
    if len(payload) % _SETTING.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6")
    return list(_SETTING.iter_unpack(payload))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return HEADER.pack(4 << 8 | WINDOW_UPDATE, 0, stream) + _WORD.pack(increment)


def rst_stream(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return HEADER.pack(4 << 8 | RST_STREAM, 0, stream) + _WORD.pack(code)


def goaway(last_stream: int, code: int, debug: str = "") -> bytes:
    """A GOAWAY frame: streams above *last_stream* are not looked at."""
    return frame(GOAWAY, 0, 0, _WORD.pack(last_stream) + _WORD.pack(code) + debug.encode()[:256])


def word(payload: bytes, offset: int = 0) -> int:
    """The unsigned 32-bit number at *offset*."""
    number: int = _WORD.unpack_from(payload, offset)[0]
    return number


def unpadded(payload: T) -> T:
    """The *payload* of a padded frame without its padding."""
    if not len(payload) or payload[0] >= len(payload):
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def fragment_of(flags: int, stream: int, payload: bytes) -> bytes:
    """The part of a header block that the *payload* of a HEADERS frame holds."""
    if flags & PADDED:
        payload = unpadded(payload)
    if not flags & PRIORITIZED:
        return payload
    if len(payload) < PRIORITY_SIZE:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
    check_priority(stream, payload[:PRIORITY_SIZE])
    return payload[PRIORITY_SIZE:]


def check_priority(stream: int, payload: bytes) -> None:
    """Checks a priority, which we have no use for. Raises ProtocolError."""
    if not stream:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "priority of stream 0")
    if len(payload) != PRIORITY_SIZE:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "priority of a length other than 5")
    if word(payload) & LARGEST_STREAM == stream:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"stream {stream} depends on itself")
