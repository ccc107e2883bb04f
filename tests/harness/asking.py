"""Asking a service as a client does, wherever it is: in this process, or behind a socket, ours or stock.

    asker.ask(SNAPSHOTS, "stat", pb.StatSnapshotRequest(…), namespace="ns")

The errors of all of them are `pycontainerd.errors.Error`s with the texts of the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Method, Service, methods_of
from pycontainerd.rpc.status import from_status, to_status

DEADLINE_S = 60


class Asker(Protocol):
    """Somewhere to send requests."""

    def ask(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Any:
        """The reply, or the list of replies of a streaming method. Raises what the service answers."""

    def replies(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Iterator[Any]:
        """The replies of a streaming method, each when it is wanted. Raises what the service answers."""


class InProcess:
    """Services of this process, over a loop that runs while they are asked."""

    def __init__(self, runner: asyncio.Runner, services: Iterable[Service]) -> None:
        self._runner = runner
        self._services: Mapping[str, Service] = {service.contract.full_name: service for service in services}

    def ask(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Any:
        wire = methods_of(contract)[method]
        function = getattr(self._services[contract.full_name], method)
        call = Call(wire.path, metadata=_headers(namespace, lease))
        if wire.server_streaming:
            replies = self._runner.run(_collected(function(request, call)))
            return [_decoded(wire, reply) for reply in replies]
        return _decoded(wire, self._runner.run(function(request, call)))

    def replies(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Iterator[Any]:
        wire = methods_of(contract)[method]
        function = getattr(self._services[contract.full_name], method)
        stream = function(request, Call(wire.path, metadata=_headers(namespace, lease)))

        async def following() -> Any:
            return await anext(stream, None)

        while (reply := self._runner.run(following())) is not None:
            yield _decoded(wire, reply)


def _decoded(method: Method, reply: Any) -> Any:
    """A reply as a message, though the service answered its bytes."""
    return method.response.FromString(reply) if isinstance(reply, bytes) else reply


class OverSocket:
    """The services of a daemon, asked through grpcio."""

    def __init__(self, address: Path) -> None:
        self.channel = grpc.insecure_channel(f"unix:{address}")

    def ask(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Any:
        wire = methods_of(contract)[method]
        if wire.server_streaming:
            return list(self.replies(contract, method, request, namespace=namespace, lease=lease))
        call = self.channel.unary_unary(wire.path, _serialized, wire.response.FromString)
        try:
            return call(request, metadata=_headers(namespace, lease), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            raise from_status(error.code().value[0], error.details() or "") from None

    def replies(
        self, contract: ServiceDescriptor, method: str, request: Message, *, namespace: str, lease: str = ""
    ) -> Iterator[Any]:
        wire = methods_of(contract)[method]
        call = self.channel.unary_stream(wire.path, _serialized, wire.response.FromString)
        try:
            yield from call(request, metadata=_headers(namespace, lease), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            raise from_status(error.code().value[0], error.details() or "") from None

    def close(self) -> None:
        self.channel.close()


@contextmanager
def over_socket(address: Path) -> Iterator[OverSocket]:
    """Asks the daemon at *address*."""
    asker = OverSocket(address)
    try:
        yield asker
    finally:
        asker.close()


def outcome(asker: Asker, contract: ServiceDescriptor, method: str, request: Message, **call: str) -> str:
    """What came of a call, as text: the reply's fields, or the code and the text of the error."""
    try:
        reply = asker.ask(contract, method, request, namespace=call.get("namespace", ""), lease=call.get("lease", ""))
    except Exception as error:  # noqa: BLE001 - whatever it is becomes part of the comparison
        status = to_status(error)
        return f"{status.code.name if hasattr(status.code, 'name') else status.code}: {status.message}"
    return str(reply)


def _headers(namespace: str, lease: str) -> tuple[tuple[str, str], ...]:
    headers = [("containerd-namespace", namespace)] if namespace else []
    if lease:
        headers.append(("containerd-lease", lease))
    return tuple(headers)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def _collected(replies: AsyncIterator[Message]) -> list[Message]:
    return [reply async for reply in replies]
