"""Services and the one table they stand in, whatever protocol and driver serves them.

A service is a class over a service of the wire contract. Its methods carry the names of the contract in snake case
(`ListStatuses` → `list_statuses`) and one of four forms:

    async def get(self, request: GetRequest, call: Call) -> GetResponse
    async def list(self, request: ListRequest, call: Call) -> AsyncIterator[ListResponse]      (a generator)
    async def collect(self, requests: AsyncIterator[Part], call: Call) -> Whole
    async def write(self, requests: AsyncIterator[Part], call: Call) -> AsyncIterator[Reply]   (a generator)

A method only translates: wire in, store call, wire out. A method of the contract that the class lacks answers
UNIMPLEMENTED. In place of a message, a method may return or yield its bytes, where what is stored is what is sent:
a server passes each reply through `encoded`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


class Method(NamedTuple):
    """One method of the wire contract."""

    path: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Method:
        service = descriptor.containing_service
        return cls(
            path=f"/{service.full_name}/{descriptor.name}",
            request=GetMessageClass(descriptor.input_type),
            response=GetMessageClass(descriptor.output_type),
            client_streaming=descriptor.client_streaming,
            server_streaming=descriptor.server_streaming,
        )


def encoded(reply: Message | bytes) -> bytes:
    """The bytes of a reply, which a service may have had ready."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


class Service:
    """Base of all services; a subclass names the service of the contract that it offers."""

    contract: ClassVar[ServiceDescriptor]


class Handler(NamedTuple):
    """A method together with what answers it."""

    method: Method
    function: Callable[..., Any]


class ServiceTable:
    """What a server answers to, by path."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self._handlers: dict[str, Handler] = {}
        self._services: set[str] = set()
        for service in services:
            self.add(service)

    def add(self, service: Service) -> None:
        """Adds every method of *service* that its class has."""
        self._services.add(service.contract.full_name)
        for name, method in methods_of(service.contract).items():
            function = getattr(service, name, None)
            if function is not None:
                own = getattr(function, "request_type", None)  # see `parted`
                self._handlers[method.path] = Handler(method._replace(request=own) if own else method, function)

    def find(self, path: str) -> Handler | None:
        return self._handlers.get(path)

    def has_service(self, name: str) -> bool:
        """Whether a service of the full name *name* is served, in whole or in part."""
        return name in self._services

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())


@functools.cache
def methods_of(contract: ServiceDescriptor) -> dict[str, Method]:
    """The methods of *contract* by their snake-case names. Made once in a process, and before a spawner forks."""
    return {_snake(descriptor.name): Method.of(descriptor) for descriptor in contract.methods}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
