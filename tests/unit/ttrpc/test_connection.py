"""Both ends of a connection over a socket pair, driven by the shim's loop."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pycontainerd.api import ttrpc_pb2
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.errors import (
    DeadlineExceeded,
    Error,
    NotFound,
    ResourceExhausted,
    Unimplemented,
    Unknown,
)
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Peer
from pycontainerd.rpc.service import Service, ServiceTable, methods_of
from pycontainerd.rpc.status import Code
from pycontainerd.rpc.ttrpc import frames as wire
from pycontainerd.rpc.ttrpc import server
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.rpc.ttrpc.frames import DATA_LIMIT, Frame, FrameDecoder
from pycontainerd.rpc.ttrpc.link import ConnectionClosed
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.transport import UnixTransport

CONTENT = methods_of(content_pb2.DESCRIPTOR.services_by_name["Content"])


class Content(Service):
    contract = content_pb2.DESCRIPTOR.services_by_name["Content"]

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.calls: list[Call] = []
        self.cancelled = 0
        self.started = loop.waiter()
        self.ended = loop.waiter()

    async def info(self, request: Any, call: Call) -> Any:
        self.calls.append(call)
        if request.digest == "missing":
            raise NotFound('content "missing"')
        if request.digest == "slow":
            self.started.set(None)
            try:
                await self.loop.waiter()
            except self.loop.cancelled:
                self.cancelled += 1
                self.ended.set(None)
                raise
        if request.digest == "big":
            return content_pb2.InfoResponse(info=content_pb2.Info(digest="x" * (DATA_LIMIT + 1)))
        if request.digest == "broken":
            raise ValueError("a defect")
        return content_pb2.InfoResponse(info=content_pb2.Info(digest=request.digest, size=len(call.metadata)))

    async def read(self, request: Any, call: Call) -> AsyncIterator[Any]:
        for number in range(request.size):
            yield content_pb2.ReadContentResponse(offset=number, data=bytes(request.offset))
        if request.digest == "broken":
            raise NotFound("the rest")

    async def write(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        total = 0
        async for request in requests:
            total += len(request.data)
            yield content_pb2.WriteContentResponse(offset=total)


class Pair:
    """A served socket pair."""

    def __init__(self, loop: Loop, *, same_owner: bool = True) -> None:
        self.loop = loop
        self.content = Content(loop)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.defects: list[tuple[str, BaseException]] = []
        self.server = TtrpcServerConnection(
            ServiceTable([self.content]),
            loop,
            same_owner=same_owner,
            on_defect=lambda path, error: self.defects.append((path, error)),
        )
        self.client = TtrpcClientConnection(loop)
        self.far = UnixTransport(loop, left, self.server)
        self.transport = UnixTransport(loop, right, self.client)

    async def close(self) -> None:
        await self.client.close()
        self.far.abort()


class Raw:
    """A peer that says exactly what a test wants it to say."""

    def __init__(self, loop: Loop, service: Service) -> None:
        self.loop = loop
        left, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.decoder = FrameDecoder()
        self.arrived: list[Frame] = []
        self.far = UnixTransport(loop, left, TtrpcServerConnection(ServiceTable([service]), loop))

    def send(self, stream: int, type_: int, flags: int, data: bytes = b"") -> None:
        self.socket.send(wire.HEADER.pack(len(data), stream, type_, flags) + data)

    def request(self, stream: int, method: str, payload: bytes = b"", flags: int = 0) -> None:
        request = ttrpc_pb2.Request(service="containerd.services.content.v1.Content", method=method, payload=payload)
        self.send(stream, wire.REQUEST, flags, request.SerializeToString())

    async def frame(self) -> Frame:
        while not self.arrived:
            await self.loop.readable(self.socket.fileno())
            for frame in self.decoder.feed(self.socket.recv(1 << 16)):
                assert isinstance(frame, Frame)
                self.arrived.append(frame)
        return self.arrived.pop(0)

    async def status(self) -> tuple[int, int]:
        """Stream and code of the next response."""
        frame = await self.frame()
        assert frame.type == wire.RESPONSE
        return frame.stream, ttrpc_pb2.Response.FromString(frame.data).status.code

    def close(self) -> None:
        self.far.abort()
        self.loop.forget(self.socket.fileno())
        self.socket.close()


def run(body: Callable[[Loop], Awaitable[None]]) -> None:
    """Runs *body* in a loop; what goes wrong in any task fails the test."""
    errors: list[BaseException] = []
    loop = Loop(lambda name, error: errors.append(error))

    async def main() -> None:
        await body(loop)

    loop.run(main())
    if errors:
        raise errors[0]


def paired(body: Callable[[Pair], Awaitable[None]]) -> None:
    async def with_pair(loop: Loop) -> None:
        pair = Pair(loop)
        try:
            await body(pair)
        finally:
            await pair.close()

    run(with_pair)


def raw(body: Callable[[Raw], Awaitable[None]]) -> None:
    async def with_raw(loop: Loop) -> None:
        peer = Raw(loop, Content(loop))
        try:
            await body(peer)
        finally:
            peer.close()

    run(with_raw)


def info(digest: str) -> Any:
    return content_pb2.InfoRequest(digest=digest)


def test_a_unary_call_is_answered_and_carries_metadata_and_deadline() -> None:
    async def body(pair: Pair) -> None:
        metadata = (("containerd-namespace-ttrpc", "a"), ("containerd-namespace-ttrpc", "b"))
        reply = await pair.client.unary(CONTENT["info"], info("x"), metadata=metadata, timeout_s=60)
        assert (reply.info.digest, reply.info.size) == ("x", 2)
        call = pair.content.calls[0]
        assert call.namespace == "a"
        assert call.deadline is not None
        assert pair.loop.now() < call.deadline <= pair.loop.now() + 60
        assert call.peer is not None
        assert (call.peer.pid, call.peer.uid) == (os.getpid(), os.geteuid())

    paired(body)


@pytest.mark.parametrize(
    ("digest", "kind", "text"),
    [
        ("missing", NotFound, 'content "missing": not found'),
        ("broken", Unknown, "a defect"),
        ("big", ResourceExhausted, "exceed maximum message size of 4194304"),
    ],
)
def test_an_error_of_a_method_arrives_as_its_kind(digest: str, kind: type[Error], text: str) -> None:
    async def body(pair: Pair) -> None:
        with pytest.raises(kind, match=text):
            await pair.client.unary(CONTENT["info"], info(digest))
        assert (await pair.client.unary(CONTENT["info"], info("next"))).info.digest == "next"

    paired(body)


def test_an_unknown_service_or_method_is_unimplemented() -> None:
    containers = methods_of(containers_pb2.DESCRIPTOR.services_by_name["Containers"])

    async def body(pair: Pair) -> None:
        with pytest.raises(Unimplemented, match=r"service containerd\.services\.containers\.v1\.Containers"):
            await pair.client.unary(containers["get"], containers_pb2.GetContainerRequest())
        with pytest.raises(Unimplemented, match="method Abort of service"):
            await pair.client.unary(CONTENT["abort"], content_pb2.AbortRequest())

    paired(body)


def test_a_call_over_its_deadline_fails_and_its_method_is_cancelled() -> None:
    async def body(pair: Pair) -> None:
        with pytest.raises(DeadlineExceeded):
            await pair.client.unary(CONTENT["info"], info("slow"), timeout_s=0.01)
        await pair.content.ended
        assert pair.content.cancelled == 1
        assert pair.server.open_calls == 0

    paired(body)


def test_a_request_over_the_limit_fails_here_and_the_connection_goes_on() -> None:
    async def body(pair: Pair) -> None:
        with pytest.raises(ResourceExhausted):
            await pair.client.unary(CONTENT["info"], info("x" * (DATA_LIMIT + 1)))
        assert (await pair.client.unary(CONTENT["info"], info("next"))).info.digest == "next"

    paired(body)


def test_a_lost_connection_fails_calls_and_cancels_their_methods() -> None:
    async def body(pair: Pair) -> None:
        failures: list[BaseException] = []

        async def call() -> None:
            try:
                await pair.client.unary(CONTENT["info"], info("slow"))
            except Error as error:
                failures.append(error)

        task = pair.loop.spawn(call(), name="call")
        await pair.content.started
        pair.transport.abort()
        await task.ended
        await pair.content.ended
        assert [str(error) for error in failures] == ["ttrpc: closed"]
        await pair.client.wait_closed()
        with pytest.raises(ConnectionClosed):
            await pair.client.unary(CONTENT["info"], info("x"))

    paired(body)


def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    async def body(pair: Pair) -> None:
        async def call() -> None:
            await pair.client.unary(CONTENT["info"], info("slow"))

        task = pair.loop.spawn(call(), name="call")
        await pair.content.started
        task.cancel()
        await task.ended
        assert pair.client._calls == {}

    paired(body)


@pytest.mark.parametrize(("count", "size"), [(0, 0), (3, 10), (200, 100_000)])
def test_streamed_replies_arrive_in_order(count: int, size: int) -> None:
    async def body(pair: Pair) -> None:
        async with pair.client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(size=count, offset=size))
            got = [(reply.offset, len(reply.data)) async for reply in stream]
        assert got == [(number, size) for number in range(count)]

    paired(body)


def test_a_defect_is_told_with_its_method_and_an_error_that_was_meant_is_not() -> None:
    async def body(pair: Pair) -> None:
        with pytest.raises(Unknown):
            await pair.client.unary(CONTENT["info"], info("broken"))
        [(path, error)] = pair.defects
        assert path == CONTENT["info"].path
        assert isinstance(error, ValueError)
        async with pair.client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(size=0, digest="broken"))
            with pytest.raises(NotFound):
                await anext(stream)
        assert len(pair.defects) == 1

    paired(body)


def test_an_error_ends_a_stream_after_its_messages() -> None:
    async def body(pair: Pair) -> None:
        async with pair.client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(size=2, digest="broken"))
            assert [(await anext(stream)).offset for _ in range(2)] == [0, 1]
            with pytest.raises(NotFound, match="the rest"):
                await anext(stream)

    paired(body)


def test_both_sides_stream_at_once() -> None:
    async def body(pair: Pair) -> None:
        async with pair.client.stream(CONTENT["write"]) as stream:
            for number in range(40):
                await stream.send(content_pb2.WriteContentRequest(data=bytes(50_000)))
                assert (await anext(stream)).offset == 50_000 * (number + 1)
            await stream.close_send()
            assert [reply async for reply in stream] == []

    paired(body)


def test_messages_that_nobody_takes_stop_the_reading_and_not_more() -> None:
    async def body(pair: Pair) -> None:
        async with pair.client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(size=300, offset=1000))
            got = [reply.offset async for reply in stream]
        assert got == list(range(300))

    paired(body)


def test_a_stream_left_early_does_not_disturb_the_next_call() -> None:
    async def body(pair: Pair) -> None:
        async with pair.client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(size=100, offset=10_000))
            assert (await anext(stream)).offset == 0
        assert (await pair.client.unary(CONTENT["info"], info("next"))).info.digest == "next"

    paired(body)


@pytest.mark.parametrize("numbers", [[2], [1, 1], [3, 1], [3, 2]])
def test_an_even_or_old_stream_id_is_refused_on_that_id(numbers: list[int]) -> None:
    async def body(peer: Raw) -> None:
        for number in numbers:
            peer.request(number, "Info")
        statuses = sorted([await peer.status() for _ in numbers])
        assert statuses == sorted([*((number, 0) for number in numbers[:-1]), (numbers[-1], 3)])

    raw(body)


def test_data_for_no_stream_is_refused() -> None:
    async def body(peer: Raw) -> None:
        peer.send(1, wire.DATA, 0, b"")
        assert await peer.status() == (1, 3)

    raw(body)


def test_a_closing_data_frame_that_carries_bytes_is_refused() -> None:
    async def body(peer: Raw) -> None:
        peer.request(1, "Write", flags=wire.REMOTE_OPEN)
        peer.send(1, wire.DATA, wire.REMOTE_CLOSED, b"\x08\x00")
        assert await peer.status() == (1, 3)
        peer.send(1, wire.DATA, 0)
        assert await peer.status() == (1, 3)

    raw(body)


def test_an_empty_data_frame_is_an_empty_message_and_the_no_data_flag_the_end() -> None:
    async def body(peer: Raw) -> None:
        peer.request(1, "Write", flags=wire.REMOTE_OPEN)
        peer.send(1, wire.DATA, 0)
        assert await peer.frame() == Frame(1, wire.DATA, 0, b"")
        peer.send(1, wire.DATA, wire.REMOTE_CLOSED | wire.NO_DATA)
        assert await peer.frame() == Frame(1, wire.DATA, wire.REMOTE_CLOSED | wire.NO_DATA, b"")

    raw(body)


def test_an_all_default_reply_has_no_bytes_and_unknown_types_are_ignored() -> None:
    async def body(peer: Raw) -> None:
        peer.send(1, 9, 0, b"what")
        peer.request(1, "Info")
        frame = await peer.frame()
        assert frame[:3] == (1, wire.RESPONSE, 0)
        assert ttrpc_pb2.Response.FromString(frame.data).payload == b"\n\x00"

    raw(body)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\xff\xff\xff", 3),
        (
            ttrpc_pb2.Request(
                service="containerd.services.content.v1.Content", method="Info", payload=b"\xff"
            ).SerializeToString(),
            13,
        ),
    ],
)
def test_what_can_not_be_parsed_is_refused(payload: bytes, code: int) -> None:
    async def body(peer: Raw) -> None:
        peer.send(1, wire.REQUEST, 0, payload)
        assert await peer.status() == (1, code)

    raw(body)


def test_an_oversized_request_is_refused_on_its_id_and_skipped() -> None:
    async def body(peer: Raw) -> None:
        length = DATA_LIMIT + 1
        peer.socket.send(wire.HEADER.pack(length, 1, wire.REQUEST, 0))
        assert await peer.status() == (1, 8)
        left = length
        while left:
            await peer.loop.writable(peer.socket.fileno())
            left -= peer.socket.send(bytes(min(left, 1 << 16)))
        peer.request(3, "Info")
        assert await peer.status() == (3, 0)

    raw(body)


def test_a_peer_of_another_owner_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    async def body(loop: Loop) -> None:
        pair = Pair(loop)
        with pytest.raises(ConnectionClosed):
            await pair.client.unary(CONTENT["info"], info("x"))
        await pair.close()

    run(body)


class Brakes:
    """A transport that tells only whether it is read from."""

    peer = Peer(os.getpid(), os.geteuid(), os.getegid())

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def test_one_that_takes_no_replies_is_read_no_further_until_it_does() -> None:
    async def body(loop: Loop) -> None:
        transport: Any = Brakes()
        connection = TtrpcServerConnection(ServiceTable([Content(loop)]), loop)
        connection.connected(transport)
        connection.resume_writing()
        assert transport.reading
        connection.pause_writing()
        assert not transport.reading
        connection.resume_writing()
        assert transport.reading
        connection.pause_writing()
        connection.lost(None)

    run(body)


def test_more_calls_at_a_time_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OPEN_CALLS_LIMIT", 2)

    async def body(peer: Raw) -> None:
        for number in (1, 3, 5):
            peer.request(number, "Info", info("slow").SerializeToString())
        assert await peer.status() == (5, int(Code.RESOURCE_EXHAUSTED))

    raw(body)
