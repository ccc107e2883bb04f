"""What a caller sees of a server, whatever protocol and driver lie between them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from google.protobuf.message import Message

from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.service import Method


class ClientStream(Protocol):
    """One streaming call.

    Leaving the context with the call unfinished cancels it. The errors of the server are raised where messages are
    received, and where they are sent once the call has ended; they are `pycontainerd.errors.Error`s.
    """

    async def send(self, message: Message | Encoded) -> None:
        """Sends *message*; waits while the server takes no more."""

    async def close_send(self) -> None:
        """Tells the server that no more messages come."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Any:
        """The next message of the server. StopAsyncIteration when the call has ended well, its error otherwise."""

    def cancel(self) -> None:
        """Ends the call; whoever waits on it gets Cancelled. Does nothing after its end."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Client(Protocol):
    """A connection to a server, seen by those who call it."""

    async def unary(
        self, method: Method, request: Message | Encoded, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any:
        """Calls *method* with one request and returns its one reply. Raises `errors.Error` as the server answers.

        Cancelling the caller cancels the call. DeadlineExceeded after *timeout_s* seconds; Unavailable when the
        connection is lost.
        """

    def stream(self, method: Method, *, metadata: Metadata = (), timeout_s: float | None = None) -> ClientStream:
        """Begins a call of *method* that sends or receives any number of messages."""

    async def close(self) -> None:
        """Ends the connection; calls that are open fail with Cancelled."""
