"""The exchange: who gets which event, in which order, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd import events_pb2, types_pb2
from pycontainerd.errors import InvalidArgument, ResourceExhausted
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.model import YEAR_ONE_S, Envelope
from pycontainerd.events.once import DELETE, EXIT

NOW_NS = 1_700_000_000_123_456_789


class FixedClock:
    """A clock that stands."""

    def now_ns(self) -> int:
        return NOW_NS

    def monotonic(self) -> float:
        return 0.0


def run(test: Callable[[Exchange], Awaitable[None]], *, queue_limit: int = 100, queue_bytes: int = 1 << 20) -> None:
    async def body() -> None:
        await test(Exchange(FixedClock(), queue_limit=queue_limit, queue_bytes=queue_bytes))

    asyncio.run(body())


def started(container: str, pid: int = 7) -> events_pb2.TaskStart:
    return events_pb2.TaskStart(container_id=container, pid=pid)


def exited(container: str, seconds: int = 5) -> events_pb2.TaskExit:
    event = events_pb2.TaskExit(container_id=container, id=container, pid=7, exit_status=3)
    event.exited_at.seconds = seconds
    return event


def test_each_subscriber_gets_every_event_in_the_order_of_publishing() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as one, exchange.subscribe() as two:
            for number in range(5):
                exchange.publish("ns", f"/n/{number}", started("c"))
            for events in (one, two):
                assert [(await anext(events)).topic for _ in range(5)] == [f"/n/{number}" for number in range(5)]

    run(body)


def test_a_reader_that_waits_is_woken() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as events:
            asyncio.get_running_loop().call_soon(exchange.publish, "ns", "/a", started("c"))
            assert (await anext(events)).namespace == "ns"

    run(body)


def test_an_event_is_stamped_and_packed_under_its_bare_name() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as events:
            exchange.publish("ns", "/tasks/start", started("c", 42))
            wire = (await anext(events)).wire
        assert wire.timestamp.ToNanoseconds() == NOW_NS
        assert wire.event.type_url == "containerd.events.TaskStart"
        assert events_pb2.TaskStart.FromString(wire.event.value) == started("c", 42)

    run(body)


def test_a_payload_that_is_an_any_passes_as_it_is() -> None:
    async def body(exchange: Exchange) -> None:
        payload = AnyMessage(type_url="what/ever", value=b"\xff\x00")
        async with exchange.subscribe() as events:
            exchange.publish("ns", "/a", payload)
            assert (await anext(events)).wire.event == payload

    run(body)


def test_an_event_from_before_the_subscription_is_not_seen() -> None:
    async def body(exchange: Exchange) -> None:
        exchange.publish("ns", "/old", started("c"))
        async with exchange.subscribe() as events:
            exchange.publish("ns", "/new", started("c"))
            assert (await anext(events)).topic == "/new"

    run(body)


def test_a_reader_that_is_too_far_behind_is_ended_and_the_others_are_not() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as dead, exchange.subscribe() as alive:
            for number in range(4):
                exchange.publish("ns", f"/n/{number}", started("c"))
                if number < 3:
                    await anext(alive)
            with pytest.raises(ResourceExhausted):
                await anext(dead)
            assert (await anext(alive)).topic == "/n/3"

    run(body, queue_limit=3)


def test_large_events_put_a_reader_behind_by_their_bytes() -> None:
    async def body(exchange: Exchange) -> None:
        large = started("c" * 2000)
        async with exchange.subscribe() as dead, exchange.subscribe() as alive:
            for number in range(4):
                exchange.publish("ns", f"/n/{number}", large)
                assert (await anext(alive)).topic == f"/n/{number}"
            with pytest.raises(ResourceExhausted):
                await anext(dead)

    run(body, queue_bytes=5000)


def test_one_event_may_be_larger_than_what_may_wait() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as events:
            for number in range(3):
                exchange.publish("ns", f"/n/{number}", started("c" * 2000))
                assert (await anext(events)).topic == f"/n/{number}"

    run(body, queue_bytes=1000)


def test_a_reader_that_is_cancelled_leaves_nothing_in_the_exchange() -> None:
    async def body(exchange: Exchange) -> None:
        async def reader() -> None:
            async with exchange.subscribe() as events:
                await anext(events)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(reader())
            await asyncio.sleep(0)
            task.cancel()
        assert not exchange._subscriptions

    run(body)


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ("", 'envelope topic "": must not be empty'),
        ("x", "envelope topic \"x\": must start with '/'"),
        ("/", 'envelope topic "/": must have at least one component'),
        ("/a//b", 'envelope topic "/a//b": failed validation on component "": identifier must not be empty'),
        (
            "/a b",
            (
                'envelope topic "/a b": failed validation on component "a b": '
                'identifier "a b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$'
            ),
        ),
    ],
)
def test_a_bad_topic_is_refused_in_the_words_of_the_original(topic: str, text: str) -> None:
    async def body(exchange: Exchange) -> None:
        with pytest.raises(InvalidArgument) as publish:
            exchange.publish("ns", topic, started("c"))
        with pytest.raises(InvalidArgument) as forward:
            exchange.forward(Envelope(types_pb2.Envelope(namespace="ns", topic=topic)))
        assert publish.value.message == forward.value.message == text

    run(body)


def test_a_forwarded_envelope_needs_a_namespace_and_a_time_that_is_not_year_one() -> None:
    async def body(exchange: Exchange) -> None:
        with pytest.raises(InvalidArgument, match="event envelope has invalid namespace: identifier must not be empty"):
            exchange.forward(Envelope(types_pb2.Envelope(topic="/a")))
        wire = types_pb2.Envelope(namespace="ns", topic="/a")
        exchange.forward(Envelope(wire))
        wire.timestamp.seconds = YEAR_ONE_S
        with pytest.raises(InvalidArgument, match="timestamp must be set on forwarded event"):
            exchange.forward(Envelope(wire))

    run(body)


def test_an_equal_exit_from_shim_and_daemon_is_told_once() -> None:
    async def body(exchange: Exchange) -> None:
        async with exchange.subscribe() as events:
            assert exchange.publish_once("ns", EXIT, exited("c"))
            again = Envelope.of("ns", EXIT, exited("c"), NOW_NS + 1)
            assert not exchange.forward_from_shim(again)
            assert exchange.publish_once("ns", EXIT, exited("c", seconds=6))
            assert exchange.publish_once("other", EXIT, exited("c"))
            got = [await anext(events) for _ in range(3)]
        assert [envelope.namespace for envelope in got] == ["ns", "ns", "other"]

    run(body)


def test_a_deletion_is_told_once_and_is_no_exit() -> None:
    async def body(exchange: Exchange) -> None:
        event = events_pb2.TaskDelete(container_id="c", pid=7)
        assert exchange.publish_once("ns", DELETE, event)
        assert not exchange.forward_from_shim(Envelope.of("ns", DELETE, event, NOW_NS))
        assert exchange.publish_once("ns", EXIT, events_pb2.TaskExit(container_id="c", pid=7))

    run(body)


def test_other_events_of_a_shim_pass_as_often_as_they_come() -> None:
    async def body(exchange: Exchange) -> None:
        envelope = Envelope.of("ns", "/tasks/oom", events_pb2.TaskOOM(container_id="c"), NOW_NS)
        assert exchange.forward_from_shim(envelope)
        assert exchange.forward_from_shim(envelope)

    run(body)
