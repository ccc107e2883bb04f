"""grpcio, the C core of gRPC, as a client of our server."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pycontainerd.rpc.status import decode_details
from tests.harness.rpc import ECHO, SERVICE, WAIT_S, Echo, Parcel, Serving, parcel, serving

MIB = 1024 * 1024
STREAM_MIB = 1024


@pytest.fixture
def server(scratch: Path) -> Iterator[Serving]:
    with serving(scratch / "s") as made:
        yield made


@pytest.fixture
def channel(server: Serving) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", 32 * MIB), ("grpc.max_send_message_length", 32 * MIB)]
    with grpc.insecure_channel(server.target, options=options) as made:
        yield made


def method(channel: grpc.Channel, name: str) -> Any:
    wire = ECHO[name]
    kind = ("stream" if wire.client_streaming else "unary") + "_" + ("stream" if wire.server_streaming else "unary")
    return getattr(channel, kind)(wire.path, lambda message: message.SerializeToString(), wire.response.FromString)


def raw(channel: Any, kind: str, path: str) -> Any:
    """A call whose messages are bytes."""
    return getattr(channel, kind)(path)


def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details() or ""


def test_all_kinds_of_calls_are_answered(channel: grpc.Channel) -> None:
    assert method(channel, "say")(parcel(text="hello"), timeout=WAIT_S) == parcel(text="hello")
    assert [each.number for each in method(channel, "count")(parcel(number=100))] == list(range(100))
    parts = (parcel(text=letter) for letter in "abc")
    assert method(channel, "collect")(parts, timeout=WAIT_S).text == "abc"
    assert [each.text for each in method(channel, "chat")(parcel(text=letter) for letter in "abc")] == ["a", "b", "c"]


def test_a_message_of_16_mib_goes_both_ways(channel: grpc.Channel) -> None:
    data = b"x" * (16 * MIB - 16)
    assert method(channel, "say")(parcel(data=data), timeout=WAIT_S).data == data


def test_a_larger_message_is_refused(channel: grpc.Channel) -> None:
    assert refused(lambda: method(channel, "say")(parcel(data=b"x" * (16 * MIB)))) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"grpc: received message larger than max ({16 * MIB + 5} vs. {16 * MIB})",
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"/{SERVICE}/Nope", f"unknown method Nope for service {SERVICE}"),
        (f"/{SERVICE}/Lacking", f"unknown method Lacking for service {SERVICE}"),
        ("/a.b.C/Nope", "unknown service a.b.C"),
        ("/nope", 'malformed method name: "/nope"'),
    ],
)
def test_what_is_not_there_is_unimplemented(channel: grpc.Channel, path: str, text: str) -> None:
    assert refused(lambda: raw(channel, "unary_unary", path)(b"")) == (grpc.StatusCode.UNIMPLEMENTED, text)


def test_what_is_no_message_is_internal(channel: grpc.Channel) -> None:
    for kind, text in (("unary_unary", "error unmarshalling request"), ("stream_stream", "failed to unmarshal")):
        path = ECHO["say" if kind == "unary_unary" else "chat"].path
        call = raw(channel, kind, path)
        code, details = refused(
            lambda call=call, kind=kind: list(call(iter([b"\xff"]))) if "stream" in kind else call(b"\xff")
        )
        assert code == grpc.StatusCode.INTERNAL
        assert text in details


def test_gzip_is_read_and_other_encodings_are_refused(channel: grpc.Channel) -> None:
    say = method(channel, "say")
    assert say(parcel(text="x" * 5000), compression=grpc.Compression.Gzip, timeout=WAIT_S).text == "x" * 5000
    code, details = refused(lambda: say(parcel(text="x" * 5000), compression=grpc.Compression.Deflate))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert details == 'grpc: Decompressor is not installed for grpc-encoding "deflate"'


def test_a_compressed_message_that_grows_over_the_limit_is_refused(channel: grpc.Channel) -> None:
    call = method(channel, "say")
    code, _ = refused(lambda: call(parcel(data=bytes(20 * MIB)), compression=grpc.Compression.Gzip))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_messages_and_details_of_errors_arrive(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        method(channel, "fail")(parcel(text="group"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "a: not found\nb: conflict"
    trailers: dict[str, Any] = {each.key: each.value for each in caught.value.trailing_metadata() or ()}
    assert len(decode_details(trailers["grpc-status-details-bin"])) == 1
    code, details = refused(lambda: method(channel, "fail")(parcel(text="NotFound", data="50% ü \x01\n".encode())))
    assert (code, details) == (grpc.StatusCode.NOT_FOUND, "50% ü \x01\n: not found")


def test_metadata_goes_both_ways(channel: grpc.Channel, server: Serving) -> None:
    sent = (("x-text", "a, b"), ("back-text", "y"), ("x-bin", b"\x00\xff"), ("back-bin", b"\xfe,"))
    _, call = method(channel, "say").with_call(parcel(), metadata=sent, timeout=WAIT_S)
    assert [each for each in server.echo.calls[-1].metadata if each[0] != "user-agent"] == list(sent)
    assert [tuple(each) for each in call.trailing_metadata()] == [("back-text", "y"), ("back-bin", b"\xfe,")]


def test_a_deadline_cancels_the_handler(channel: grpc.Channel, server: Serving) -> None:
    code, _ = refused(lambda: method(channel, "wait")(parcel(), timeout=0.1))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    server.echo.until(lambda: server.echo.cancelled == 1)


def test_a_cancelled_call_cancels_the_handler(channel: grpc.Channel, server: Serving) -> None:
    call = method(channel, "wait").future(parcel())
    server.echo.until(lambda: server.echo.waiting == 1)
    call.cancel()
    server.echo.until(lambda: server.echo.cancelled == 1)


def test_a_thousand_calls_stay_open_and_others_are_answered(channel: grpc.Channel, server: Serving) -> None:
    wait = method(channel, "wait")
    calls = [wait.future(parcel()) for _ in range(1000)]
    server.echo.until(lambda: server.echo.waiting == 1000)
    assert method(channel, "say")(parcel(text="x"), timeout=WAIT_S).text == "x"
    for call in calls:
        call.cancel()
    server.echo.until(lambda: server.echo.cancelled == 1000)
    assert method(channel, "say")(parcel(text="y"), timeout=WAIT_S).text == "y"


def test_a_long_stream_of_replies_is_whole(channel: grpc.Channel) -> None:
    replies = method(channel, "flow")(parcel(data=b"x" * MIB, number=STREAM_MIB))
    assert sum(len(reply.data) for reply in replies) == STREAM_MIB * MIB


def test_a_long_stream_of_requests_is_whole(channel: grpc.Channel) -> None:
    part = parcel(data=b"x" * MIB)
    assert method(channel, "collect")(part for _ in range(STREAM_MIB)).number == STREAM_MIB * MIB


def test_a_slow_reader_holds_the_handler_back(channel: grpc.Channel, server: Serving) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replies = method(channel, "flow")(parcel(data=b"x" * MIB, number=1000))
    next(replies)
    taken = -1
    while taken != server.echo.waiting:  # until the handler stands still
        taken = server.echo.waiting
        time.sleep(0.3)
    assert taken < 50
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    assert method(channel, "say")(parcel(text="x"), timeout=WAIT_S).text == "x"
    replies.cancel()
    server.echo.until(lambda: server.echo.cancelled == 1)


def test_a_slow_handler_holds_the_sender_back(channel: grpc.Channel, server: Serving) -> None:
    sent = 0
    stop = threading.Event()

    def parts() -> Iterator[Any]:
        nonlocal sent
        yield parcel(text="pause", number=600_000)
        while not stop.is_set() and sent < 1000:
            sent += 1
            yield parcel(data=b"x" * MIB)

    replies = method(channel, "chat")(parts())
    server.echo.until(lambda: server.echo.waiting == 1)
    before = -1
    while before != sent:
        before = sent
        time.sleep(0.3)
    assert sent < 50
    assert method(channel, "say")(parcel(text="x"), timeout=WAIT_S).text == "x"
    stop.set()
    replies.cancel()


def test_calls_that_run_are_finished_when_the_server_shuts_down(channel: grpc.Channel, server: Serving) -> None:
    call = method(channel, "say").future(parcel(text="slow", number=200))
    method(channel, "say")(parcel(), timeout=WAIT_S)
    server.run(server.server.shutdown(10))
    assert call.result(WAIT_S).text == "slow"


def test_keepalive_pings_are_answered(scratch: Path) -> None:
    options = [
        ("grpc.keepalive_time_ms", 10),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    with serving(scratch / "s") as server, grpc.insecure_channel(server.target, options=options) as channel:
        assert method(channel, "say")(parcel(text="x", number=500), timeout=WAIT_S).text == "x"


def test_the_harness_speaks_of_one_message() -> None:
    assert Parcel.DESCRIPTOR.full_name == "pycontainerd.test.Parcel"
    assert Echo.contract.full_name == SERVICE
