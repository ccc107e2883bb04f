"""Streams: opening, finding, the window of byte streams, and what happens when one side goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any as Anything

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.streaming import v1_pb2 as pb
from pycontainerd.api.containerd.types.transfer_pb2 import Data, Progress, WindowUpdate
from pycontainerd.errors import Cancelled, InvalidArgument, NotFound, Unknown
from pycontainerd.rpc.call import Call
from pycontainerd.streaming import byte_streams
from pycontainerd.streaming.manager import QUEUE_LIMIT, Key, Streams
from pycontainerd.streaming.service import StreamingService

INIT = "containerd.services.streaming.v1.StreamInit"


def packed(message: Message, prefix: str = "") -> Any:
    return Any(type_url=prefix + message.DESCRIPTOR.full_name, value=message.SerializeToString())


class Client:
    """A client's side of one stream."""

    def __init__(self, streams: Streams, first: Any | None, namespace: str = "ns") -> None:
        self._requests: asyncio.Queue[Any | None] = asyncio.Queue()
        call = Call("/test", metadata=(("containerd-namespace", namespace),) if namespace else ())
        answers: Anything = StreamingService(streams).stream(self._sent(), call)
        self._answers = answers
        self._requests.put_nowait(first)

    async def _sent(self) -> AsyncIterator[Any]:
        while (request := await self._requests.get()) is not None:
            yield request

    def send(self, message: Message) -> None:
        self._requests.put_nowait(packed(message))

    def half_close(self) -> None:
        self._requests.put_nowait(None)

    async def receive(self) -> Any:
        return await anext(self._answers)

    async def window(self) -> int:
        return WindowUpdate.FromString((await self.receive()).value).update

    async def aclose(self) -> None:
        await self._answers.aclose()


class NoRows:
    """No stream of these tests has a lease, so none is to be written of."""

    async def add(self, key: Key, lease: str) -> None:
        raise AssertionError(key)

    async def remove(self, key: Key) -> None:
        raise AssertionError(key)

    async def missing(self, keys: Iterable[Key]) -> list[Key]:
        raise AssertionError(keys)


def run(body: Callable[[Streams], Awaitable[None]]) -> None:
    asyncio.run(_run(body))


async def _run(body: Callable[[Streams], Awaitable[None]]) -> None:
    await body(Streams(NoRows()))


async def opened(streams: Streams, name: str = "s", namespace: str = "ns") -> Client:
    client = Client(streams, packed(pb.StreamInit(id=name)), namespace)
    answer = await client.receive()
    assert (answer.type_url, answer.value) == ("google.protobuf.Empty", b"")
    return client


@pytest.mark.parametrize("name", ["s", ""])
@pytest.mark.parametrize("namespace", ["ns", "", "a b"])
def test_a_stream_is_found_in_its_namespace_while_it_is_open(name: str, namespace: str) -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams, name, namespace)):
            streams.get(namespace, name)
            with pytest.raises(NotFound):
                streams.get("other", name)
        with pytest.raises(NotFound):
            streams.get(namespace, name)

    run(body)


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (None, "EOF"),
        (
            packed(Data(data=b"x")),
            f'can\'t unmarshal type "containerd.types.transfer.Data" to output "{INIT}"',
        ),
        (
            packed(pb.StreamInit(id="p"), "type.googleapis.com/"),
            f'can\'t unmarshal type "type.googleapis.com/{INIT}" to output "{INIT}"',
        ),
        (Any(type_url="nonsense"), "type with url nonsense: not found"),
        (
            Any(type_url="containerd.services.streaming.v1.StreamInit", value=b"\xff\xff"),
            "proto: cannot parse invalid wire-format data",
        ),
    ],
)
def test_another_first_message_is_refused_in_the_words_of_the_original(first: Any | None, text: str) -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(Client(streams, first)) as client:
            with pytest.raises(Unknown) as refused:
                await client.receive()
        assert refused.value.wire_text() == text

    run(body)


def test_a_name_is_used_once_at_a_time() -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)), aclosing(Client(streams, packed(pb.StreamInit(id="s")))) as second:
            with pytest.raises(Unknown, match=r"^already exists$"):
                await second.receive()
        async with aclosing(await opened(streams)):
            streams.get("ns", "s")

    run(body)


def test_messages_come_in_order_and_then_the_end() -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)) as client:
            stream = streams.get("ns", "s")
            for number in range(3):
                await stream.send(Progress(progress=number))
            stream.close()
            assert [Progress.FromString((await client.receive()).value).progress for _ in range(3)] == [0, 1, 2]
            with pytest.raises(StopAsyncIteration):
                await client.receive()
            with pytest.raises(Cancelled):
                await stream.send(Progress())

    run(body)


def test_a_sender_waits_for_a_client_that_does_not_read() -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)) as client, asyncio.TaskGroup() as group:
            stream = streams.get("ns", "s")
            for _ in range(QUEUE_LIMIT):
                await stream.send(Progress())
            sending = group.create_task(stream.send(Progress(event="last")))
            await asyncio.sleep(0)
            assert not sending.done()
            await client.receive()
            await sending
            stream.close()

    run(body)


def test_who_waits_for_a_client_learns_that_it_has_gone() -> None:
    async def body(streams: Streams) -> None:
        client = await opened(streams)
        stream = streams.get("ns", "s")
        for _ in range(QUEUE_LIMIT):
            await stream.send(Progress())

        async def send() -> None:
            with pytest.raises(Cancelled):
                await stream.send(Progress())

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            await asyncio.sleep(0)
            await client.aclose()
        with pytest.raises(Cancelled):
            await stream.receive()

    run(body)


def test_bytes_are_received_as_they_are_granted() -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)) as client:
            pieces = byte_streams.received(streams.get("ns", "s"), window=100)
            client.send(Data(data=b"x" * 40))
            assert await anext(pieces) == b"x" * 40
            assert await client.window() == 100
            client.send(Data(data=b"y" * 30))
            assert await anext(pieces) == b"y" * 30
            client.send(Data())
            client.half_close()
            assert [piece async for piece in pieces] == []
            assert await client.window() == 70

    run(body)


@pytest.mark.parametrize("message", [Data(data=b"x" * 101), WindowUpdate(update=1), Progress()])
def test_what_is_not_granted_or_no_data_is_refused(message: Message) -> None:
    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)) as client:
            pieces = byte_streams.received(streams.get("ns", "s"), window=100)
            client.send(message)
            with pytest.raises(InvalidArgument):
                await anext(pieces)

    run(body)


def test_bytes_are_sent_as_the_client_grants_them() -> None:
    async def data() -> AsyncIterator[bytes]:
        yield b"a" * 50_000
        yield b"b" * 10

    async def body(streams: Streams) -> None:
        async with aclosing(await opened(streams)) as client, asyncio.TaskGroup() as group:
            sending = group.create_task(byte_streams.send(streams.get("ns", "s"), data()))
            got = []
            for grant in (10, -5, 65_536):
                client.send(WindowUpdate(update=grant))
            while True:
                try:
                    got.append(Data.FromString((await client.receive()).value).data)
                except StopAsyncIteration:
                    break
            await sending
        assert [len(part) for part in got] == [10, 32_768, 17_222, 10]
        assert b"".join(got) == b"a" * 50_000 + b"b" * 10

    run(body)
