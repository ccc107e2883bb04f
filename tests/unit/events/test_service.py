"""The events' services: what clients and shims are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd import events_pb2, types_pb2
from pycontainerd.api.containerd.services.events import v1_pb2 as service_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as ttrpc_pb2
from pycontainerd.clock import SystemClock
from pycontainerd.errors import FailedPrecondition, InvalidArgument, Unknown
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.service import EventsService, ShimEventsService
from pycontainerd.rpc.call import NAMESPACE_HEADER, Call


def call(namespace: str | None = "ns") -> Call:
    return Call(path="/x", metadata=((NAMESPACE_HEADER, namespace),) if namespace else ())


def envelope(topic: str = "/a", namespace: str = "ns", event: AnyMessage | None = None) -> types_pb2.Envelope:
    return types_pb2.Envelope(namespace=namespace, topic=topic, event=event)


def started(container: str) -> AnyMessage:
    event = events_pb2.TaskStart(container_id=container)
    return AnyMessage(type_url="containerd.events.TaskStart", value=event.SerializeToString())


async def seen(exchange: Exchange, filters: Sequence[str], sent: Sequence[types_pb2.Envelope]) -> list[str]:
    """The topics that a client with *filters* sees of *sent*."""
    service = EventsService(exchange)
    answers = service.subscribe(service_pb2.SubscribeRequest(filters=filters), call(None))
    waiting = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    for each in [*sent, envelope("/end", "end")]:
        await service.forward(service_pb2.ForwardRequest(envelope=each), call(None))
    topics = []
    async with asyncio.timeout(10):
        topics.append((await waiting).topic)
        while topics[-1] != "/end":
            topics.append((await anext(answers)).topic)
    await answers.aclose()  # type: ignore[attr-defined]  # it is a generator
    return topics[:-1]


@pytest.mark.parametrize(
    ("filters", "topics"),
    [
        ([], ["/tasks/start", "/tasks/start", "/other"]),
        (["topic==/x", "namespace==end"], None),
        (['topic~="^/tasks/.+",namespace==one', "namespace==end"], ["/tasks/start"]),
        (["event.container_id==c2", "namespace==end"], ["/tasks/start"]),
        (["event.container_id", "namespace==end"], ["/tasks/start", "/tasks/start"]),
        (["namespace==three", "namespace==end"], ["/other"]),
    ],
)
def test_a_client_sees_what_its_filters_let_pass(filters: list[str], topics: list[str] | None) -> None:
    sent = [
        envelope("/tasks/start", "one", started("c1")),
        envelope("/tasks/start", "two", started("c2")),
        envelope("/other", "three"),
    ]
    story = seen(Exchange(SystemClock()), filters, sent)
    if topics is None:
        with pytest.raises(Unknown) as error:
            asyncio.run(story)
        assert error.value.wire_text() == (
            "subscription error: failed parsing subscription filters: filters: parse error: "
            "[topic== >|/|< x]: quoted literal not terminated: invalid argument"
        )
    else:
        assert asyncio.run(story) == topics


def test_who_publishes_needs_a_namespace() -> None:
    service = EventsService(Exchange(SystemClock()))
    request = service_pb2.PublishRequest(topic="/a")
    with pytest.raises(FailedPrecondition) as missing:
        asyncio.run(service.publish(request, call(None)))
    assert missing.value.wire_text() == "failed publishing event: namespace is required: failed precondition"
    with pytest.raises(InvalidArgument, match="failed publishing event: namespace validation: identifier"):
        asyncio.run(service.publish(request, call("a b")))
    asyncio.run(service.publish(request, call()))


def test_a_forward_without_an_envelope_is_refused() -> None:
    exchange = Exchange(SystemClock())
    with pytest.raises(InvalidArgument, match="no envelope"):
        asyncio.run(EventsService(exchange).forward(service_pb2.ForwardRequest(), call()))
    with pytest.raises(InvalidArgument, match="no envelope"):
        asyncio.run(ShimEventsService(exchange).forward(ttrpc_pb2.ForwardRequest(), call(None)))


def test_fields_of_an_envelope_that_nobody_knows_pass_through() -> None:
    async def story() -> None:
        exchange = Exchange(SystemClock())
        sent = types_pb2.Envelope.FromString(envelope().SerializeToString() + b"\xa2\x06\x03new")
        async with exchange.subscribe() as envelopes:
            await EventsService(exchange).forward(service_pb2.ForwardRequest(envelope=sent), call(None))
            got = await anext(envelopes)
        assert got.wire.SerializeToString() == sent.SerializeToString()

    asyncio.run(story())
