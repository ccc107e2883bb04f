"""Hostile connections: whatever comes, the cores raise nothing and hold no more than they allow."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.rpc.driver import Peer
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.grpc.endpoint import Endpoint
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.http2 import frames
from pycontainerd.rpc.http2.compression import encode
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.service import ServiceTable
from tests.harness.rpc import ECHO, Echo, parcel
from tests.harness.stepping import SteppingDriver

LIMITS = Limits(
    stream_window=20_000,
    connection_window=70_000,
    held=40_000,
    max_frame=16_384,
    header_list=8_192,
    concurrent_streams=8,
    control_burst=200,
    reset_burst=50,
)

HEAD = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b"content-type", b"application/grpc"))
paths = st.sampled_from([wire.path.encode() for wire in ECHO.values()] + [b"/", b"*", b"/no.Service/Method", b"\xff"])
extra = st.lists(
    st.tuples(
        st.sampled_from([b"grpc-timeout", b"grpc-encoding", b"x-bin", b"te", b"content-length", b":status", b"X", b""]),
        st.sampled_from([b"1S", b"0n", b"9" * 20, b"gzip", b"identity", b"====", b"\x00", b"trailers", b""]),
    ),
    max_size=3,
)
requests = st.builds(lambda path, more: encode((*HEAD, (b":path", path), *more)), paths, extra)
answers = st.builds(
    lambda status, more: encode(((b":status", status), (b"content-type", b"application/grpc"), *more)),
    st.sampled_from([b"200", b"100", b"404", b"x"]),
    st.lists(
        st.tuples(
            st.sampled_from([b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"grpc-encoding"]),
            st.sampled_from([b"0", b"5", b"-1", b"%zz%41", b"gzip", b"CAUSAWE", b"\xff"]),
        ),
        max_size=3,
    ),
)
messages = st.builds(
    lambda flag, length, body: bytes((flag,)) + length.to_bytes(4, "big") + body,
    st.sampled_from([0, 0, 0, 1, 7]),
    st.sampled_from([0, 1, 5, 100, 1 << 24, (1 << 32) - 1]),
    st.binary(max_size=200),
) | st.sampled_from([b"\x00\x00\x00\x00\x03\x0a\x01a", b"\x00\x00\x00\x00\x00"])
settings_payloads = st.lists(
    st.builds(
        lambda key, value: key.to_bytes(2, "big") + value.to_bytes(4, "big"),
        st.integers(0, 9),
        st.sampled_from([0, 1, 2, 100, 16_384, 70_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]),
    ),
    max_size=3,
).map(b"".join)
words = st.sampled_from([0, 1, 8, 100, 65_535, (1 << 31) - 1, 1 << 31]).map(lambda number: number.to_bytes(4, "big"))


def payloads(kind: int) -> Any:
    return {
        frames.DATA: messages | st.binary(max_size=16_384),
        frames.HEADERS: requests | answers | st.binary(max_size=100),
        frames.CONTINUATION: st.binary(max_size=9_000),
        frames.SETTINGS: settings_payloads | st.binary(max_size=20),
        frames.PING: st.just(b"12345678") | st.binary(max_size=9),
        frames.PRIORITY: st.binary(min_size=5, max_size=5),
    }.get(kind, words | st.builds(lambda left, right: left + right, words, words))


kinds = st.sampled_from([*range(10), frames.DATA, frames.HEADERS, frames.HEADERS, 99])
frame_bytes = kinds.flatmap(
    lambda kind: st.builds(
        lambda flags, stream, payload: frames.frame(kind, flags, stream, payload),
        st.sampled_from([0, frames.END_HEADERS, 5, 1, 8, 0x20, 0xFF]),
        st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 2, 9, 101, (1 << 31) - 1]),
        payloads(kind),
    )
)
sessions = st.lists(frame_bytes | frame_bytes.map(lambda whole: whole * 40), max_size=25)


class Wire:
    """A transport that only counts."""

    peer: Peer | None = None

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += len(data)

    def writelines(self, pieces: Any) -> None:
        self.written += sum(map(len, pieces))

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing reads here."""

    resume_reading = pause_reading


def feed(endpoint: Endpoint, driver: SteppingDriver, wire: bytes, cut: int, *, paused: bool) -> None:
    """Feeds all of *wire*, and checks after each chunk that the bounds hold."""
    transport = endpoint.transport
    assert isinstance(transport, Wire)
    cut = max(cut, len(wire) // 300)
    for start in range(0, len(wire), cut):
        if paused and start > len(wire) // 2:
            endpoint.pause_writing()
        endpoint.received(wire[start : start + cut])
        driver.step()
        held = sum(stream.held for stream in endpoint.core.streams.values())
        assert held <= LIMITS.stream_window * LIMITS.concurrent_streams
        assert len(endpoint.core.streams) <= LIMITS.concurrent_streams
        if endpoint.core.failed:
            assert transport.closed
            break
    endpoint.lost(None)
    driver.step()
    assert driver.running == 0


@given(sessions, st.integers(1, 5_000), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_server_survives(session: list[bytes], cut: int, greeting: bool, paused: bool) -> None:
    driver = SteppingDriver()
    server = GrpcConnection(ServiceTable([Echo()]), driver, limits=LIMITS, message_limit=100_000)
    server.connected(Wire())
    start = frames.PREFACE + frames.settings_frame({}) if greeting else b""
    feed(server, driver, start + b"".join(session), cut, paused=paused)


@given(sessions, st.integers(1, 5_000), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_client_survives(session: list[bytes], cut: int, paused: bool) -> None:
    driver = SteppingDriver()
    client = GrpcClient(driver, limits=LIMITS, message_limit=100_000)
    client.connected(Wire())
    ends: list[BaseException | None] = []

    async def unary() -> None:
        try:
            await client.unary(ECHO["say"], parcel(text="x"), timeout_s=5)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must come
            ends.append(error)
        else:
            ends.append(None)

    async def stream() -> None:
        try:
            async with client.stream(ECHO["chat"]) as chat:
                await chat.send(parcel(data=b"x" * 90_000))
                async for _ in chat:
                    pass
        except Exception as error:  # noqa: BLE001 - as above
            ends.append(error)
        else:
            ends.append(None)

    driver.spawn(unary(), name="unary")
    driver.spawn(stream(), name="stream")
    feed(client, driver, frames.settings_frame({}) + b"".join(session), cut, paused=paused)
    assert len(ends) == 2


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_bytes_without_sense_end_the_connection_or_wait_for_more(noise: bytes) -> None:
    driver = SteppingDriver()
    server = GrpcConnection(ServiceTable([Echo()]), driver, limits=LIMITS)
    server.connected(Wire())
    feed(server, driver, noise, 7, paused=False)
