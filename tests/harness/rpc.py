"""A service with a method of each kind, servers of ours that run beside a test, and clients over both drivers.

with serving(scratch / "s") as server, calling(server) as client:
    reply = client.run(client.unary("say", parcel(text="hello")))
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pycontainerd import errors
from pycontainerd.rpc.asyncio_driver import AsyncioDriver, Server
from pycontainerd.rpc.blocking_driver import BlockingDriver
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Connection, Driver
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.service import Service, ServiceTable, methods_of
from pycontainerd.rpc.sockets import listen_tcp, listen_unix

T = TypeVar("T")

WAIT_S: Final = 30.0
SERVICE: Final = "pycontainerd.test.Echo"


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="pycontainerd/test/echo.proto", package="pycontainerd.test", syntax="proto3"
    )
    message = file.message_type.add(name="Parcel")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        (("text", kinds.TYPE_STRING), ("data", kinds.TYPE_BYTES), ("number", kinds.TYPE_INT64)), start=1
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    service = file.service.add(name="Echo")
    for name, sends_many, answers_many in METHODS:
        service.method.add(
            name=name,
            input_type=".pycontainerd.test.Parcel",
            output_type=".pycontainerd.test.Parcel",
            client_streaming=sends_many,
            server_streaming=answers_many,
        )
    return descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


METHODS: Final = (
    ("Say", False, False),
    ("Fail", False, False),
    ("Wait", False, False),
    ("Lacking", False, False),
    ("Count", False, True),
    ("Flow", False, True),
    ("Collect", True, False),
    ("Chat", True, True),
)

_FILE: Final = _declare()
CONTRACT: Final = _FILE.services_by_name["Echo"]
Parcel: Final = GetMessageClass(_FILE.message_types_by_name["Parcel"])
ECHO: Final = methods_of(CONTRACT)


def parcel(*, text: str = "", data: bytes = b"", number: int = 0) -> Message:
    """A message of the service."""
    return Parcel(text=text, data=data, number=number)


class Echo(Service):
    """Says back what it is told, and records how its calls end."""

    contract = CONTRACT

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self.held = threading.Event()
        """Set whenever the numbers change."""
        self.calls: list[Call] = []
        self.defect: BaseException = ValueError("what nobody thought of")

    async def say(self, request: Any, call: Call) -> Message:
        self.calls.append(call)
        if request.number:
            await asyncio.sleep(request.number / 1000)
        for name, value in call.metadata:
            if name.startswith("back-"):
                call.trailers.append((name, value))
        return parcel(text=request.text, data=request.data)

    async def fail(self, request: Any, call: Call) -> Message:
        if request.text == "group":
            raise ExceptionGroup("both", [errors.NotFound("a"), errors.Conflict("b")])
        if request.text == "defect":
            raise self.defect
        kind = getattr(errors, request.text)
        raise kind(request.data.decode())

    async def wait(self, request: Any, call: Call) -> Message:
        self.waiting += 1
        self.held.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
            self.held.set()
        return parcel()

    async def count(self, request: Any, call: Call) -> AsyncIterator[Message]:
        for number in range(request.number):
            yield parcel(number=number)
        if request.text:
            raise errors.NotFound(request.text)

    async def flow(self, request: Any, call: Call) -> AsyncIterator[Encoded]:
        """As many messages as *number*, each with *data*; *waiting* counts those that were taken."""
        try:
            for number in range(request.number):
                self.waiting = number
                yield Encoded(parcel(number=number), 2, request.data)
        finally:
            self.cancelled += 1
            self.held.set()

    async def collect(self, requests: AsyncIterator[Any], call: Call) -> Message:
        size, text = 0, ""
        async for request in requests:
            size += len(request.data)
            text += request.text
        return parcel(text=text, number=size)

    async def chat(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Message]:
        async for request in requests:
            if request.text == "pause":
                self.waiting += 1
                self.held.set()
                await asyncio.sleep(request.number / 1000)
            elif request.text == "stop":
                return
            else:
                yield parcel(text=request.text, data=request.data)

    def until(self, reached: Callable[[], bool]) -> None:
        """Waits until *reached* holds; it is asked whenever a number changes."""
        while not reached():
            assert self.held.wait(WAIT_S), "it never came"
            self.held.clear()


class Serving:
    """A server in a thread of its own."""

    def __init__(self, echo: Echo) -> None:
        self.echo = echo
        self.path = ""
        self.port = 0
        self.connections: list[Connection] = []
        self.server: Server
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @property
    def target(self) -> str:
        """The address as grpcio wants it."""
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs *coroutine* in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    async def serve(self, ready: threading.Event, factory: Callable[[Driver], Connection] | None, **how: Any) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        driver = AsyncioDriver()
        table = ServiceTable([self.echo])
        tls: ssl.SSLContext | None = how.pop("tls", None)
        admits = how.pop("admits", None)

        def make() -> Connection:
            made = factory(driver) if factory is not None else GrpcConnection(table, driver, **how)
            self.connections.append(made)
            return made

        if self.path:
            self.server = await driver.serve_unix(listen_unix(self.path), make)
        else:
            listener = listen_tcp("127.0.0.1", 0)
            self.port = listener.getsockname()[1]
            self.server = await driver.serve_tcp(listener, make, tls=tls, admits=admits)
        async with self.server:
            ready.set()
            await self._stop.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def serving(
    path: Path | None = None,
    *,
    echo: Echo | None = None,
    factory: Callable[[Driver], Connection] | None = None,
    **how: Any,
) -> Iterator[Serving]:
    """Serves `Echo` (or what *factory* makes) on the unix socket *path*, or on a free TCP port of the loopback.

    *how* goes to `GrpcConnection`; *tls* and *admits* to the listener.
    """
    served = Serving(echo or Echo())
    served.path = str(path) if path is not None else ""
    ready = threading.Event()
    thread = threading.Thread(target=lambda: uvloop.run(served.serve(ready, factory, **how)), daemon=True)
    thread.start()
    assert ready.wait(WAIT_S)
    try:
        yield served
    finally:
        served.stop()
        thread.join(WAIT_S)


class Calling:
    """A client of ours together with what runs it."""

    def __init__(self, client: GrpcClient, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.client = client
        self.run = run

    def unary(self, method: str, request: Any, **how: Any) -> Any:
        """Calls *method* and waits for its reply."""
        return self.run(self.client.unary(ECHO[method], request, **how))

    def stream(self, method: str, **how: Any) -> Any:
        return self.client.stream(ECHO[method], **how)

    def replies(self, method: str, *requests: Message, **how: Any) -> list[Any]:
        """Sends *requests* and waits for all replies."""

        async def call() -> list[Any]:
            async with self.client.stream(ECHO[method], **how) as stream:
                for request in requests:
                    await stream.send(request)
                await stream.close_send()
                return [reply async for reply in stream]

        replies: list[Any] = self.run(call())
        return replies


@contextmanager
def calling_blocking(path: str, **how: Any) -> Iterator[Calling]:
    """A client of ours over the blocking driver."""
    with BlockingDriver() as driver:
        client = GrpcClient(driver, **how)
        driver.run(driver.connect_unix(path, client))
        yield Calling(client, driver.run)


@contextmanager
def calling_asyncio(path: str, **how: Any) -> Iterator[Calling]:
    """A client of ours over asyncio."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def connect() -> GrpcClient:
            driver = AsyncioDriver()
            client = GrpcClient(driver, **how)
            await driver.connect_unix(path, client)
            return client

        client = runner.run(connect())
        # Not `runner.run`: it looks at its signal handler, and so prints the result of every task, in vain.
        yield Calling(client, runner.get_loop().run_until_complete)
        runner.run(client.close())


DRIVERS: Final = {"asyncio": calling_asyncio, "blocking": calling_blocking}

SMALL_LIMITS: Final = Limits(
    stream_window=64 * 1024,
    connection_window=256 * 1024,
    held=256 * 1024,
    max_frame=16 * 1024,
    control_burst=50,
    control_per_s=10,
    reset_burst=20,
    reset_per_s=10,
    concurrent_streams=100,
)
"""Limits that a test reaches soon."""
