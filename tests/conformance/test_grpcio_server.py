"""grpcio as the server of our clients, over both of their drivers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from pycontainerd import errors
from tests.harness.rpc import DRIVERS, ECHO, SERVICE, WAIT_S, Calling, parcel

MIB = 1024 * 1024
STREAM_MIB = 1024


class Foreign:
    """The methods of the service, as grpcio wants them."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.metadata: list[Any] = []

    def say(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.metadata = list(context.invocation_metadata())
        return request

    def fail(self, request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(getattr(grpc.StatusCode, request.text), request.data.decode())

    def wait(self, request: Any, context: grpc.ServicerContext) -> Any:
        context.add_callback(self.cancelled.set)
        assert self.cancelled.wait(WAIT_S)
        return request

    def count(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return (parcel(number=number) for number in range(request.number))

    def flow(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        return (parcel(number=number, data=request.data) for number in range(request.number))

    def collect(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        return parcel(number=sum(len(request.data) for request in requests))

    def chat(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        yield from requests


@pytest.fixture
def foreign() -> Foreign:
    return Foreign()


@pytest.fixture
def address(foreign: Foreign, scratch: Path) -> Iterator[str]:
    handlers = {}
    for name, wire in ECHO.items():
        function = getattr(foreign, name, None)
        if function is not None:
            kind = (
                ("stream" if wire.client_streaming else "unary")
                + "_"
                + ("stream" if wire.server_streaming else "unary")
            )
            make = getattr(grpc, f"{kind}_rpc_method_handler")
            handlers[wire.path.rpartition("/")[2]] = make(
                function, wire.request.FromString, lambda message: message.SerializeToString()
            )
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        options=[("grpc.max_receive_message_length", 32 * MIB), ("grpc.max_send_message_length", 32 * MIB)],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    path = scratch / "s"
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield str(path)
    server.stop(None).wait(WAIT_S)


@pytest.fixture(params=sorted(DRIVERS))
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Calling]:
    with DRIVERS[request.param](address) as made:
        yield made


def test_all_kinds_of_calls_are_answered(client: Calling) -> None:
    assert client.unary("say", parcel(text="hello"), timeout_s=WAIT_S) == parcel(text="hello")
    assert [each.number for each in client.replies("count", parcel(number=100))] == list(range(100))
    assert client.replies("collect", parcel(data=b"ab"), parcel(data=b"c"))[0].number == 3
    assert [each.text for each in client.replies("chat", parcel(text="a"), parcel(text="b"))] == ["a", "b"]


def test_a_message_of_16_mib_goes_both_ways(client: Calling) -> None:
    data = b"x" * (16 * MIB - 16)
    assert client.unary("say", parcel(data=data)).data == data


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("NOT_FOUND", 'container "x": not found', errors.NotFound),
        ("FAILED_PRECONDITION", "x: conflict", errors.Conflict),
        ("FAILED_PRECONDITION", "x: not modified", errors.NotModified),
        ("FAILED_PRECONDITION", "100% ü\n", errors.FailedPrecondition),
        ("UNKNOWN", "whatever", errors.Unknown),
    ],
)
def test_errors_are_of_their_kind(client: Calling, code: str, text: str, kind: type[errors.Error]) -> None:
    with pytest.raises(errors.Error) as caught:
        client.unary("fail", parcel(text=code, data=text.encode()))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(text)


def test_what_the_server_lacks_is_unimplemented(client: Calling) -> None:
    with pytest.raises(errors.Unimplemented):
        client.unary("lacking", parcel())


def test_metadata_arrives(client: Calling, foreign: Foreign) -> None:
    client.unary("say", parcel(), metadata=(("x-text", "a"), ("x-bin", b"\x00\xff")))
    assert [tuple(each) for each in foreign.metadata if each[0].startswith("x-")] == [
        ("x-text", "a"),
        ("x-bin", b"\x00\xff"),
    ]


def test_a_deadline_cancels_the_call_at_the_server(client: Calling, foreign: Foreign) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        client.unary("wait", parcel(), timeout_s=0.1)
    assert foreign.cancelled.wait(WAIT_S)


def test_leaving_a_stream_cancels_the_call_at_the_server(client: Calling) -> None:
    async def call() -> int:
        async with client.stream("flow") as stream:
            await stream.send(parcel(number=1_000_000, data=b"x" * 1000))
            await stream.close_send()
            await anext(stream)
            return int((await anext(stream)).number)

    assert client.run(call()) == 1
    assert client.unary("say", parcel(text="still there")).text == "still there"


def test_long_streams_are_whole_both_ways(client: Calling) -> None:
    async def receive() -> int:
        async with client.stream("flow") as stream:
            await stream.send(parcel(number=STREAM_MIB, data=b"x" * MIB))
            await stream.close_send()
            return sum([len(reply.data) async for reply in stream])

    async def send() -> int:
        async with client.stream("collect") as stream:
            part = parcel(data=b"x" * MIB)
            for _ in range(STREAM_MIB):
                await stream.send(part)
            await stream.close_send()
            return int((await anext(stream)).number)

    assert client.run(receive()) == STREAM_MIB * MIB
    assert client.run(send()) == STREAM_MIB * MIB


def test_a_thousand_calls_in_flight_are_answered(address: str) -> None:
    with DRIVERS["asyncio"](address) as client:

        async def many() -> int:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(client.client.unary(ECHO["say"], parcel(number=number))) for number in range(1000)
                ]
            return sum(task.result().number for task in tasks)

        assert client.run(many()) == sum(range(1000))
