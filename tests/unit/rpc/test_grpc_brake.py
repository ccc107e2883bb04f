"""A client that asks and does not read the answers: it must not fill our memory."""

from __future__ import annotations

from collections.abc import Sequence

from pycontainerd.rpc.blocking_driver import BlockingDriver
from pycontainerd.rpc.driver import Peer
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.http2 import frames
from pycontainerd.rpc.http2.compression import encode
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.service import ServiceTable

HEAD = encode(
    (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/nobody.Knows/This"),
        (b"content-type", b"application/grpc"),
    )
)


class Wire:
    """A transport that counts what it is given."""

    peer: Peer | None = None

    def __init__(self) -> None:
        self.size = 0
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)

    def writelines(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self.write(piece)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None: ...

    def abort(self) -> None: ...


def request(number: int) -> bytes:
    flags = frames.END_HEADERS | frames.END_STREAM
    return frames.frame(frames.HEADERS, flags, 2 * number + 1, HEAD)


def test_who_does_not_read_the_answers_is_not_read_until_he_does() -> None:
    with BlockingDriver() as driver:
        connection, wire = GrpcConnection(ServiceTable(), driver, limits=Limits(unsent_heads=10_000)), Wire()
        connection.connected(wire)
        connection.received(frames.PREFACE + frames.settings_frame({}))
        connection.pause_writing()
        before, asked = wire.size, 0
        while wire.reading and asked < 10_000:
            connection.received(request(asked))
            asked += 1
        assert 10_000 < wire.size - before < 20_000
        connection.resume_writing()
        assert wire.reading
        connection.received(request(asked))
        assert wire.reading
        connection.lost(None)
