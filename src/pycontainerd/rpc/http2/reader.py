"""Bytes, cut anywhere, to frames."""

from __future__ import annotations

from typing import Final

from pycontainerd.rpc.http2.frames import (
    DATA,
    HEADER,
    HEADER_SIZE,
    LARGEST_STREAM,
    PREFACE,
    ErrorCode,
    ProtocolError,
)

Frame = tuple[int, int, int, bytes | memoryview]
"""Type, flags, stream, payload. Large payloads of DATA are views of what was fed."""

_VIEW_FROM: Final = 1024


class FrameReader:
    """Cuts one direction of a connection into frames. A frame is given out when it is whole."""

    __slots__ = ("_limit", "_missing", "_pending", "_preface", "fault")

    def __init__(self, *, preface: bool, limit: int) -> None:
        self.fault: ProtocolError | None = None
        """What ended the reading; the frames before it are good."""
        self._limit = limit
        self._preface = PREFACE if preface else b""
        self._pending: list[bytes | memoryview] = []
        self._missing = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that *data* completes. Look at `fault` after having handled them."""
        out: list[Frame] = []
        offset = self._skip_preface(data) if self._preface else 0
        if self._missing:
            offset = self._complete(data, offset, out)
        if self.fault is None:
            self._cut(data, offset, out)
        return out

    def _cut(self, data: bytes, offset: int, out: list[Frame]) -> None:
        end, limit, unpack = len(data), self._limit, HEADER.unpack_from
        view = memoryview(data)
        while end - offset >= HEADER_SIZE:
            head, flags, number = unpack(data, offset)
            length, kind = head >> 8, head & 0xFF
            if length > limit:
                self.fault = ProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} bytes")
                return
            start = offset + HEADER_SIZE
            stop = start + length
            if stop > end:
                self._missing = stop - end
                self._pending.append(view[offset:])
                return
            payload = view[start:stop] if kind == DATA and length >= _VIEW_FROM else data[start:stop]
            out.append((kind, flags, number & LARGEST_STREAM, payload))
            offset = stop
        if offset < end:
            self._missing = HEADER_SIZE - (end - offset)
            self._pending.append(data[offset:])

    def _complete(self, data: bytes, offset: int, out: list[Frame]) -> int:
        """Completes the frame that earlier data began; returns where in *data* the next one is."""
        view = memoryview(data)
        while self._missing and offset < len(data) and self.fault is None:
            piece = view[offset : offset + self._missing]
            offset += len(piece)
            self._missing -= len(piece)
            self._pending.append(piece)
            if not self._missing:
                # If the head was cut, this is the head alone, and cutting it tells what of its frame is missing.
                whole = b"".join(self._pending)
                self._pending = []
                self._cut(whole, 0, out)
        return offset

    def _skip_preface(self, data: bytes) -> int:
        length = min(len(self._preface), len(data))
        if self._preface[:length] != data[:length]:
            self.fault = ProtocolError(ErrorCode.PROTOCOL_ERROR, "not the preface of HTTP/2")
        self._preface = self._preface[length:]
        return length
