"""An envelope as the exchange, its filters and its subscribers in this process see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.events import payloads
from pycontainerd.rpc.call import check_identifier

YEAR_ONE_S: Final = -62135596800
"""Seconds from 1970 to Go's zero time, which means "no time" to it."""


class Envelope:
    """One event. *wire* is what subscribers get and is not changed any more; the payload is decoded when asked for."""

    __slots__ = ("_decoded", "_event", "size", "wire")

    def __init__(self, wire: types_pb2.Envelope) -> None:
        self.wire = wire
        self.size = wire.ByteSize()
        """Bytes on the wire."""
        self._event: Message | None = None
        self._decoded = False

    @classmethod
    def of(cls, namespace: str, topic: str, event: Message, now_ns: int) -> Envelope:
        """Packs *event*; one that is an Any already passes as it is (wire/README.md §4)."""
        wire = types_pb2.Envelope(namespace=namespace, topic=topic)
        wire.timestamp.FromNanoseconds(now_ns)
        if isinstance(event, AnyMessage):
            wire.event.CopyFrom(event)
        else:
            wire.event.type_url = event.DESCRIPTOR.full_name
            wire.event.value = event.SerializeToString()
        return cls(wire)

    @property
    def namespace(self) -> str:
        return self.wire.namespace

    @property
    def topic(self) -> str:
        return self.wire.topic

    @property
    def event(self) -> Message | None:
        """The payload, or None if its type is none that we know or its bytes don't parse."""
        if not self._decoded:
            self._event = payloads.decode(self.wire.event)
            self._decoded = True
        return self._event

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The value at *path* for a filter, and whether it is present (events-namespaces.md §1)."""
        if not path:
            return "", False
        match path[0]:
            case "namespace":
                return self.namespace, bool(self.namespace)
            case "topic":
                return self.topic, bool(self.topic)
            case "event":
                return payloads.field(self.event, path[1:])
            case _:
                return "", False


def check(envelope: Envelope) -> None:
    """Checks an envelope that somebody else has made. Raises InvalidArgument with the words of the original."""
    with _within("event envelope has invalid namespace"):
        check_identifier(envelope.namespace)
    check_topic(envelope.topic)
    timestamp = envelope.wire.timestamp
    if timestamp.seconds == YEAR_ONE_S and timestamp.nanos == 0:
        raise InvalidArgument("timestamp must be set on forwarded event")


def check_topic(topic: str) -> None:
    """A topic is `/` and identifiers with `/` between them. Raises InvalidArgument."""
    with _within(f'envelope topic "{topic}"'):
        if not topic:
            raise InvalidArgument("must not be empty")
        if not topic.startswith("/"):
            raise InvalidArgument("must start with '/'")
        if topic == "/":
            raise InvalidArgument("must have at least one component")
        for component in topic[1:].split("/"):
            with _within(f'failed validation on component "{component}"'):
                check_identifier(component)


@contextmanager
def _within(context: str) -> Iterator[None]:
    try:
        yield
    except InvalidArgument as error:
        raise error.within(context) from None
