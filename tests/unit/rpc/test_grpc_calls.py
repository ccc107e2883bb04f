"""Our client and our server, over both drivers that a client may have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd import errors
from pycontainerd.rpc.status import StatusDetails
from tests.harness.rpc import DRIVERS, ECHO, Calling, Echo, Serving, parcel, serving

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("rpc") / "s") as made:
        yield made


@pytest.fixture(params=sorted(DRIVERS))
def client(request: pytest.FixtureRequest, server: Serving) -> Iterator[Calling]:
    with DRIVERS[request.param](server.path) as made:
        yield made


def test_a_unary_call_is_answered(client: Calling) -> None:
    assert client.unary("say", parcel(text="hello")) == parcel(text="hello")


def test_a_call_whose_handler_waits_is_answered(client: Calling) -> None:
    assert client.unary("say", parcel(text="later", number=1)) == parcel(text="later")


def test_a_stream_of_replies_ends_well(client: Calling) -> None:
    assert [reply.number for reply in client.replies("count", parcel(number=300))] == list(range(300))


def test_a_stream_without_replies_ends_well(client: Calling) -> None:
    assert client.replies("count", parcel()) == []


def test_an_error_comes_after_the_replies_before_it(client: Calling) -> None:
    async def call() -> tuple[list[int], str]:
        seen = []
        try:
            async with client.stream("count") as stream:
                await stream.send(parcel(number=3, text="the fourth"))
                async for reply in stream:
                    seen.append(reply.number)
        except errors.NotFound as error:
            return seen, str(error)
        return seen, ""

    assert client.run(call()) == ([0, 1, 2], "the fourth: not found")


def test_requests_are_collected(client: Calling) -> None:
    parts = [parcel(text=str(number), data=b"x" * number) for number in range(50)]
    reply = client.replies("collect", *parts)[0]
    assert (reply.text, reply.number) == ("".join(map(str, range(50))), sum(range(50)))


def test_no_request_at_all_may_be_collected(client: Calling) -> None:
    assert client.replies("collect") == [parcel()]


def test_requests_and_replies_alternate(client: Calling) -> None:
    async def call() -> list[str]:
        seen = []
        async with client.stream("chat") as stream:
            for word in ("one", "two", "three"):
                await stream.send(parcel(text=word))
                seen.append((await anext(stream)).text)
            await stream.close_send()
            assert [reply async for reply in stream] == []
        return seen

    assert client.run(call()) == ["one", "two", "three"]


@pytest.mark.parametrize("size", [0, 1, 16 * KIB - 5, 16 * KIB, 64 * KIB + 1, 3 * MIB, 16 * MIB - 64])
def test_a_message_of_any_size_goes_both_ways(client: Calling, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    assert client.unary("say", parcel(data=data)).data == data


def test_a_request_over_16_mib_is_refused_where_it_is_sent(client: Calling) -> None:
    with pytest.raises(errors.ResourceExhausted, match="trying to send message larger than max"):
        client.unary("say", parcel(data=b"x" * (16 * MIB)))


def test_a_request_over_16_mib_is_refused_where_it_arrives(server: Serving) -> None:
    with DRIVERS["blocking"](server.path, message_limit=20 * MIB) as client:
        with pytest.raises(
            errors.ResourceExhausted, match=r"received message larger than max \(16777221 vs. 16777216\)"
        ):
            client.unary("say", parcel(data=b"x" * (16 * MIB)))
        assert client.unary("say", parcel(text="still there")).text == "still there"


@pytest.mark.parametrize("kind", [each for each in vars(errors).values() if isinstance(each, type)])
def test_an_error_is_the_same_on_both_sides(client: Calling, kind: type[errors.Error]) -> None:
    if kind is errors.Error:
        kind = errors.Unknown
    with pytest.raises(errors.Error) as caught:
        client.unary("fail", parcel(text=kind.__name__, data=b'thing "x" 100% \xc3\xa9\nnext'))
    assert type(caught.value) is kind
    assert str(caught.value) == str(kind('thing "x" 100% é\nnext'))


def test_joined_errors_come_as_details(client: Calling) -> None:
    with pytest.raises(errors.NotFound, match="b: conflict") as caught:
        client.unary("fail", parcel(text="group"))
    cause = caught.value.__cause__
    assert isinstance(cause, StatusDetails)
    assert [each.message for each in cause.statuses()] == ["b: conflict"]


def test_a_defect_is_unknown_and_logged(client: Calling, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(errors.Unknown, match="what nobody thought of"):
        client.unary("fail", parcel(text="defect"))
    assert "/pycontainerd.test.Echo/Fail failed" in caplog.text


def test_a_method_that_the_class_lacks_is_unimplemented(client: Calling) -> None:
    with pytest.raises(errors.Unimplemented, match=r"unknown method Lacking for service pycontainerd\.test\.Echo"):
        client.unary("lacking", parcel())


def test_a_deadline_ends_the_call_on_both_sides(client: Calling, server: Serving) -> None:
    before = server.echo.cancelled
    with pytest.raises(errors.DeadlineExceeded):
        client.unary("wait", parcel(), timeout_s=0.05)
    server.echo.until(lambda: server.echo.cancelled == before + 1)


def test_a_deadline_that_is_over_is_not_waited_for(client: Calling) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        client.unary("wait", parcel(), timeout_s=0)


def test_the_handler_knows_the_deadline(client: Calling, server: Serving) -> None:
    before = server.loop.time()
    client.unary("say", parcel(), timeout_s=100)
    deadline = server.echo.calls[-1].deadline
    assert deadline is not None
    assert before + 100 <= deadline <= server.loop.time() + 100


def test_metadata_arrives_in_order_and_comes_back_as_it_was(client: Calling, server: Serving) -> None:
    sent = (("containerd-namespace", "first"), ("containerd-namespace", "second"), ("x-bin", b"\x00\xff,"))
    client.unary("say", parcel(), metadata=sent)
    call = server.echo.calls[-1]
    assert [each for each in call.metadata if each[0] in {"containerd-namespace", "x-bin"}] == list(sent)
    assert call.namespace == "first"


def test_trailers_of_a_handler_are_no_fault(client: Calling) -> None:
    assert client.unary("say", parcel(text="x"), metadata=(("back-x", "y"), ("back-bin", b"\x01"))).text == "x"


def test_a_header_that_can_not_be_is_refused_where_it_is_sent(client: Calling) -> None:
    for metadata in ((("grpc-own", "x"),), (("a b", "x"),), (("x", "line\nbreak"),), ((":path", "/"),)):
        with pytest.raises(errors.Internal):
            client.unary("say", parcel(), metadata=metadata)


def test_leaving_a_stream_cancels_its_handler(client: Calling, server: Serving) -> None:
    before = server.echo.cancelled

    async def call() -> None:
        async with client.stream("flow") as stream:
            await stream.send(parcel(number=1_000_000, data=b"x" * KIB))
            await stream.close_send()
            await anext(stream)

    client.run(call())
    server.echo.until(lambda: server.echo.cancelled == before + 1)


def test_a_cancelled_stream_says_so(client: Calling) -> None:
    async def call() -> None:
        async with client.stream("chat") as stream:
            await stream.send(parcel(text="x"))
            await anext(stream)
            stream.cancel()
            with pytest.raises(errors.Cancelled):
                await anext(stream)
            with pytest.raises(errors.Cancelled):
                await stream.send(parcel(text="y"))

    client.run(call())


def test_sending_into_a_call_that_has_ended_fails(client: Calling) -> None:
    async def call() -> None:
        async with client.stream("chat") as stream:
            await stream.send(parcel(text="stop"))
            assert [reply async for reply in stream] == []
            with pytest.raises(errors.Cancelled):
                await stream.send(parcel(text="y"))

    client.run(call())


def test_closing_the_client_ends_its_calls(server: Serving) -> None:
    with DRIVERS["blocking"](server.path) as client:
        outcome: list[str] = []

        async def call() -> None:
            try:
                await client.client.unary(ECHO["wait"], parcel())
            except errors.Cancelled as error:
                outcome.append(str(error))

        async def both() -> None:
            client.client.driver.spawn(call(), name="wait")
            await client.client.close()

        client.run(both())
        client.run(asyncio_free_turn(client))
        assert outcome == ["grpc: the client connection is closing"]


async def asyncio_free_turn(client: Calling) -> None:
    """Lets what is ready run."""
    waiter = client.client.driver.waiter()
    client.client.driver.call_later(0, lambda: waiter.set(None))
    await waiter


def test_a_lost_connection_is_unavailable(scratch: Path) -> None:
    with serving(scratch / "s") as server, DRIVERS["blocking"](server.path) as client:
        client.unary("say", parcel())
        server.run(server.server.close())
        with pytest.raises(errors.Unavailable):
            client.unary("say", parcel())


def test_a_server_that_shuts_down_finishes_its_calls(scratch: Path) -> None:
    with serving(scratch / "s") as server, DRIVERS["asyncio"](server.path) as client:

        async def both() -> Any:
            async with asyncio.TaskGroup() as group:
                slow = group.create_task(client.client.unary(ECHO["say"], parcel(text="slow", number=200)))
                await client.client.unary(ECHO["say"], parcel())
                ending = asyncio.run_coroutine_threadsafe(server.server.shutdown(10), server.loop)
                await asyncio.wrap_future(ending)
            return slow.result()

        assert client.run(both()).text == "slow"
        with pytest.raises(errors.Unavailable):
            client.unary("say", parcel())


def test_more_calls_than_the_server_takes_wait_for_their_turn(scratch: Path) -> None:
    from pycontainerd.rpc.http2.limits import Limits

    limits = Limits(concurrent_streams=4)
    with serving(scratch / "s", limits=limits) as server, DRIVERS["asyncio"](server.path) as client:

        async def many() -> list[str]:
            await client.client.unary(ECHO["say"], parcel())
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(client.client.unary(ECHO["say"], parcel(text=str(number), number=1)))
                    for number in range(50)
                ]
            return [task.result().text for task in tasks]

        assert client.run(many()) == [str(number) for number in range(50)]


def test_a_stream_begins_once_for_all_who_wait_for_its_turn(scratch: Path) -> None:
    from pycontainerd.rpc.http2.limits import Limits

    limits = Limits(concurrent_streams=1)
    with serving(scratch / "s", limits=limits) as server, DRIVERS["asyncio"](server.path) as client:

        async def talk() -> str:
            await client.client.unary(ECHO["say"], parcel())
            async with client.stream("chat") as before, client.stream("chat") as stream, asyncio.TaskGroup() as group:
                await before.send(parcel(text="before"))
                reading = group.create_task(anext(stream))
                sending = group.create_task(stream.send(parcel(text="once")))
                await asyncio.sleep(0)  # both have begun to wait
                before.cancel()
                await sending
                reply = await reading
            return str(reply.text)

        assert client.run(talk()) == "once"


def test_a_stream_whose_first_user_gave_up_waiting_begins_with_the_next(scratch: Path) -> None:
    from pycontainerd.rpc.http2.limits import Limits

    limits = Limits(concurrent_streams=1)
    with serving(scratch / "s", limits=limits) as server, DRIVERS["asyncio"](server.path) as client:

        async def talk() -> str:
            await client.client.unary(ECHO["say"], parcel())
            async with client.stream("chat") as before, client.stream("chat") as stream, asyncio.TaskGroup() as group:
                await before.send(parcel(text="before"))
                reading = group.create_task(anext(stream))
                sending = group.create_task(stream.send(parcel(text="next")))
                await asyncio.sleep(0)  # both have begun to wait
                reading.cancel()
                before.cancel()
                await sending
                reply = await anext(stream)
            return str(reply.text)

        assert client.run(talk()) == "next"


def test_a_cancelled_caller_cancels_its_call(scratch: Path) -> None:
    echo = Echo()
    with serving(scratch / "s", echo=echo) as server, DRIVERS["asyncio"](server.path) as client:

        async def call() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.client.unary(ECHO["wait"], parcel())

        client.run(call())
        echo.until(lambda: echo.cancelled == 1)


def test_the_handler_knows_who_asks(client: Calling, server: Serving) -> None:
    import os

    client.unary("say", parcel())
    peer = server.echo.calls[-1].peer
    assert peer is not None
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())


def test_a_reply_has_a_limit_of_its_own(scratch: Path) -> None:
    with serving(scratch / "s", send_limit=1000) as server, DRIVERS["blocking"](server.path) as client:
        assert client.unary("say", parcel(data=b"x" * 900)).data == b"x" * 900
        with pytest.raises(errors.ResourceExhausted, match=r"trying to send message larger than max \(\d+ vs. 1000\)"):
            client.unary("say", parcel(data=b"x" * 2000))
