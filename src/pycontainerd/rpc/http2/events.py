"""What happens on a connection, as the layer above is told."""

from __future__ import annotations

from pycontainerd.rpc.http2.compression import HeaderBlock
from pycontainerd.rpc.http2.stream import Stream


class HeadersReceived:
    """A list of header fields is complete: the first of a stream, or its trailers when *ended*."""

    __slots__ = ("block", "ended", "stream")

    def __init__(self, stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
        self.stream = stream
        self.block = block
        self.ended = ended


class DataReceived:
    """Bytes of a stream, from one frame or from several that came together.

    *size* counts padding as well: so much is to be given back by `Http2Connection.consume`.
    """

    __slots__ = ("ended", "pieces", "size", "stream")

    def __init__(self, stream: Stream, piece: bytes | memoryview, size: int, *, ended: bool) -> None:
        self.stream = stream
        self.pieces = [piece]
        self.size = size
        self.ended = ended


class StreamReset:
    """The stream is gone: the peer reset it, or broke the protocol on it (*local*)."""

    __slots__ = ("code", "local", "stream")

    def __init__(self, stream: Stream, code: int, *, local: bool = False) -> None:
        self.stream = stream
        self.code = code
        self.local = local


class SettingsReceived:
    """The peer told about itself."""

    __slots__ = ()


class PingAnswered:
    """The peer answered our ping."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class GoAway:
    """The peer takes no streams above *last_stream*."""

    __slots__ = ("code", "last_stream", "message")

    def __init__(self, last_stream: int, code: int, message: str) -> None:
        self.last_stream = last_stream
        self.code = code
        self.message = message


class ConnectionFailed:
    """The connection is over: we sent GOAWAY with *code*. Send what there is to send, then close."""

    __slots__ = ("code", "message")

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message


Event = HeadersReceived | DataReceived | StreamReset | SettingsReceived | PingAnswered | GoAway | ConnectionFailed
