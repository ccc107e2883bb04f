"""Content as clients see it: the protocol of Write, sharing between namespaces, leases, the collector."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pycontainerd import errors
from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.clock import SystemClock
from pycontainerd.content.collection import ContentCollection
from pycontainerd.content.local import LocalContent
from pycontainerd.content.model import Digest
from pycontainerd.content.service import ContentService
from pycontainerd.content.store import ContentStore
from pycontainerd.metadata import kinds
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.namespaces.store import NamespaceStore
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.parted import Parted, PartedType
from pycontainerd.threads import Threads

W = pb.WriteContentRequest
PARTED = PartedType(W, W.DATA_FIELD_NUMBER)
HELLO = b"hello world"
TOO_LONG = "label key and value length (5001 bytes) greater than maximum size (4096 bytes), key: k"


def digest_of(data: bytes) -> str:
    return str(Digest.of(data))


class Leases:
    """Leases as a set: `lease` exists, others don't."""

    def __init__(self) -> None:
        self.held: set[tuple[str, str, str]] = set()

    def attach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        if lease != "lease":
            raise errors.NotFound("lease does not exist")
        self.held.add((namespace, kind, name))

    def detach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        self.held.discard((namespace, kind, name))


class Events:
    """What was published."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Message]] = []

    def publish(self, namespace: str, topic: str, event: Message, /) -> None:
        self.seen.append((namespace, topic, event))


class Server:
    """The content service over its own database and disk, called as a client calls it."""

    def __init__(self, root: Path, database: Database, threads: Threads, *, isolated: bool) -> None:
        self.database = database
        self.leases = Leases()
        self.events = Events()
        self.backend = LocalContent(root / "content", threads, SystemClock())
        self.store = ContentStore(database, self.backend, self.leases, self.events, SystemClock(), isolated=isolated)
        self.service = ContentService(self.store)
        self.collection = ContentCollection(database, self.backend)

    async def write(self, *messages: W, namespace: str = "ns", lease: str = "") -> list[pb.WriteContentResponse]:
        """Sends *messages* one after the other and returns the answers."""
        stream = Stream(self, namespace, lease)
        async with aclosing(stream):
            return [await stream.send(message) for message in messages]

    async def put(self, data: bytes, namespace: str = "ns", lease: str = "") -> str:
        await self.write(W(ref="put", action=pb.WRITE, data=data), namespace=namespace, lease=lease)
        await self.write(W(ref="put", action=pb.COMMIT, offset=len(data)), namespace=namespace, lease=lease)
        return digest_of(data)

    async def read(self, digest: str, offset: int = 0, size: int = 0, namespace: str = "ns") -> list[tuple[int, bytes]]:
        request = pb.ReadContentRequest(digest=digest, offset=offset, size=size)
        replies = self.service.read(request, call(namespace))
        parts = [pb.ReadContentResponse.FromString(reply.SerializeToString()) async for reply in replies]
        return [(part.offset, part.data) for part in parts]

    async def list(self, *filters: str, namespace: str = "ns") -> list[pb.Info]:
        batches = self.service.list(pb.ListContentRequest(filters=filters), call(namespace))
        return [info async for batch in batches for info in pb.ListContentResponse.FromString(batch).info]

    async def info(self, digest: str, namespace: str = "ns") -> pb.Info:
        answer = await self.service.info(pb.InfoRequest(digest=digest), call(namespace))
        return pb.InfoResponse.FromString(answer).info

    async def status(self, ref: str, namespace: str = "ns") -> pb.Status:
        return (await self.service.status(pb.StatusRequest(ref=ref), call(namespace))).status

    async def refs(self, *filters: str, namespace: str = "ns") -> Sequence[str]:
        answer = await self.service.list_statuses(pb.ListStatusesRequest(filters=filters), call(namespace))
        return [status.ref for status in answer.statuses]


class Stream:
    """One open call of Write."""

    def __init__(self, server: Server, namespace: str = "ns", lease: str = "") -> None:
        self._requests: asyncio.Queue[W | None] = asyncio.Queue()
        self._answers = server.service.write(self._sent(), call(namespace, lease))

    async def _sent(self) -> AsyncIterator[Parted[W]]:
        while (request := await self._requests.get()) is not None:
            yield PARTED.FromString(request.SerializeToString())

    async def send(self, message: W) -> pb.WriteContentResponse:
        self._requests.put_nowait(message)
        return await anext(self._answers)

    async def end(self) -> None:
        """Closes the sending side and waits for the end of the call."""
        self._requests.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await anext(self._answers)

    async def aclose(self) -> None:
        """Breaks the call off."""
        answers: Any = self._answers
        await answers.aclose()


def call(namespace: str, lease: str = "") -> Call:
    headers = [("containerd-namespace", namespace)] if namespace else []
    if lease:
        headers.append(("containerd-lease", lease))
    return Call("/test", metadata=tuple(headers))


def run(root: Path, body: Callable[[Server], Awaitable[None]], *, isolated: bool = False) -> None:
    async def main() -> None:
        database = Database.open(root / "metadata" / "meta.sqlite", SystemClock(), sync=False)
        with Threads("content", most=4) as threads, database:
            await body(Server(root, database, threads, isolated=isolated))

    asyncio.run(main())


async def refused(kind: type[errors.Error], awaitable: Awaitable[object]) -> str:
    """The text with which the call was refused, as the wire carries it."""
    with pytest.raises(kind) as raised:
        await awaitable
    return raised.value.wire_text()


def test_a_blob_is_written_in_three_messages(scratch: Path) -> None:
    async def body(server: Server) -> None:
        answers = await server.write(
            W(ref="r", total=11, expected=digest_of(HELLO)),
            W(action=pb.WRITE, data=HELLO),
            W(action=pb.COMMIT, offset=11, total=11, expected=digest_of(HELLO), labels={"a": "b", "empty": ""}),
        )
        assert [(a.action, a.offset, a.total, a.digest) for a in answers] == [
            (pb.STAT, 0, 11, digest_of(b"")),
            (pb.WRITE, 11, 11, digest_of(HELLO)),
            (pb.COMMIT, 11, 11, digest_of(HELLO)),
        ]
        assert answers[0].started_at == answers[2].started_at != pb.Status().started_at
        info = await server.info(digest_of(HELLO))
        assert (info.size, dict(info.labels)) == (11, {"a": "b"})
        assert info.created_at == info.updated_at
        assert [(n, t, e.digest) for n, t, e in server.events.seen] == [  # type: ignore[attr-defined] # ContentCreate
            ("ns", "/content/create", digest_of(HELLO))
        ]
        assert await server.refs() == []

    run(scratch, body)


def test_answers_tell_times_and_total_only_after_a_stat(scratch: Path) -> None:
    async def body(server: Server) -> None:
        first, stat, second = await server.write(
            W(ref="r", action=pb.WRITE, data=b"a", total=3), W(), W(action=pb.WRITE, offset=1, data=b"b")
        )
        assert not first.HasField("started_at")
        assert first.total == 0
        assert stat.HasField("started_at")
        assert second.started_at == stat.started_at
        assert second.total == 3

    run(scratch, body)


@pytest.mark.parametrize(
    ("messages", "kind", "text"),
    [
        ([W()], errors.InvalidArgument, "first message must have a reference"),
        (
            [W(ref="r", action=pb.WRITE, data=b"hello"), W(action=pb.WRITE, offset=9)],
            errors.OutOfRange,
            "write @9 must occur at current offset 5",
        ),
        (
            [W(ref="r", action=pb.WRITE, data=HELLO), W(action=pb.COMMIT, offset=11, total=99)],
            errors.FailedPrecondition,
            '"r" failed size validation: 11 != 99: failed precondition',
        ),
        (
            [W(ref="r", action=pb.WRITE, data=b"abc"), W(action=pb.COMMIT, offset=3, expected="sha256:zz")],
            errors.FailedPrecondition,
            f"unexpected commit digest {digest_of(b'abc')}, expected sha256:zz: failed precondition",
        ),
        (
            [W(ref="r", action=pb.COMMIT, expected="garbage")],
            errors.InvalidArgument,
            'expected "garbage" is no digest: invalid argument',
        ),
        (
            [W(ref="r", action=pb.COMMIT, labels={"k": "v" * 5000})],
            errors.InvalidArgument,
            f"info.Labels: {TOO_LONG}: invalid argument",
        ),
    ],
)
def test_a_bad_message_is_refused_in_the_words_of_the_original(
    scratch: Path, messages: list[W], kind: type[errors.Error], text: str
) -> None:
    async def body(server: Server) -> None:
        assert await refused(kind, server.write(*messages)) == text

    run(scratch, body)


def test_a_commit_that_fails_leaves_the_ingest_for_another_try(scratch: Path) -> None:
    async def body(server: Server) -> None:
        await refused(
            errors.FailedPrecondition,
            server.write(W(ref="r", action=pb.WRITE, data=HELLO), W(action=pb.COMMIT, offset=11, total=9)),
        )
        (answer,) = await server.write(W(ref="r", action=pb.COMMIT, offset=11, total=11))
        assert answer.digest == digest_of(HELLO)

    run(scratch, body)


def test_a_broken_stream_can_be_resumed(scratch: Path) -> None:
    async def body(server: Server) -> None:
        (first, _) = await server.write(W(ref="r", total=11), W(action=pb.WRITE, data=b"hello"))
        (stat,) = await server.write(W(ref="r", total=11))
        assert (stat.offset, stat.digest, stat.started_at) == (5, digest_of(b"hello"), first.started_at)
        _, answer = await server.write(
            W(ref="r", total=11, expected=digest_of(HELLO)), W(action=pb.COMMIT, offset=5, data=b" world")
        )
        assert (answer.offset, answer.digest) == (11, digest_of(HELLO))

    run(scratch, body)


def test_an_offset_of_zero_drops_what_is_there(scratch: Path) -> None:
    async def body(server: Server) -> None:
        _, second = await server.write(
            W(ref="r", action=pb.WRITE, data=b"12345"), W(action=pb.WRITE, data=b"ab", offset=0)
        )
        assert (second.offset, second.digest) == (2, digest_of(b"ab"))

    run(scratch, body)


def test_a_negative_offset_appends(scratch: Path) -> None:
    async def body(server: Server) -> None:
        _, second = await server.write(
            W(ref="r", action=pb.WRITE, data=b"abc"), W(action=pb.WRITE, data=b"d", offset=-1)
        )
        assert (second.offset, second.digest) == (4, digest_of(b"abcd"))

    run(scratch, body)


def test_an_unknown_action_is_answered_with_the_offset_alone(scratch: Path) -> None:
    async def body(server: Server) -> None:
        message = W.FromString(W(ref="r").SerializeToString() + b"\x08\x07")
        (answer,) = await server.write(message)
        assert answer == pb.WriteContentResponse.FromString(b"\x08\x07")

    run(scratch, body)


def test_a_ref_has_one_writer(scratch: Path) -> None:
    async def body(server: Server) -> None:
        stream = Stream(server)
        async with aclosing(stream):
            await stream.send(W(ref="r"))
            text = await refused(errors.Unavailable, server.write(W(ref="r")))
            assert text.startswith("ref ns/1/r locked for ")
            assert text.endswith("): unavailable")
            await server.write(W(ref="r"), namespace="other")
            await stream.end()
        await server.write(W(ref="r"))

    run(scratch, body)


def test_what_is_expected_and_there_need_not_be_written(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        text = await refused(errors.AlreadyExists, server.write(W(ref="r", expected=digest)))
        assert text == f"content {digest}: already exists"
        assert await server.refs() == []
        locked = Stream(server)
        async with aclosing(locked):
            await locked.send(W(ref="r"))
            await refused(errors.AlreadyExists, server.write(W(ref="r", expected=digest)))

    run(scratch, body)


def test_what_is_expected_and_comes_by_another_way_ends_the_writer(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        text = await refused(
            errors.AlreadyExists, server.write(W(ref="r", action=pb.WRITE, data=b"x"), W(expected=digest))
        )
        assert text == f"blob with expected digest {digest} exists"
        assert await server.refs() == []

    run(scratch, body)


def test_the_second_commit_of_a_digest_says_so_and_drops_its_ingest(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        text = await refused(
            errors.AlreadyExists,
            server.write(W(ref="again", action=pb.WRITE, data=HELLO), W(action=pb.COMMIT, offset=11), lease="lease"),
        )
        assert text == f"content {digest}: already exists"
        assert await server.refs() == []
        assert server.leases.held == {("ns", kinds.CONTENT, digest)}

    run(scratch, body)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_a_blob_may_be_called_by_another_algorithm(scratch: Path, algorithm: str) -> None:
    async def body(server: Server) -> None:
        name = f"{algorithm}:{hashlib.new(algorithm, HELLO).hexdigest()}"
        answers = await server.write(
            W(ref="r", action=pb.WRITE, data=HELLO), W(action=pb.COMMIT, offset=11, expected=name)
        )
        assert answers[-1].digest == name
        assert await server.read(name) == [(0, HELLO)]

    run(scratch, body)


def test_a_known_digest_is_shared_without_sending_it(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        stat, done = await server.write(
            W(ref="r", expected=digest, total=11), W(action=pb.COMMIT, offset=11, total=11), namespace="other"
        )
        assert (stat.offset, stat.digest) == (11, digest)
        assert done.digest == digest
        assert await server.read(digest, namespace="other") == [(0, HELLO)]

    run(scratch, body)


def test_a_shared_ingest_has_no_status(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        await server.write(W(ref="r", expected=digest), namespace="other")
        text = await refused(errors.NotFound, server.status("r", "other"))
        assert text.startswith('could not get status for ref "r": stat ')
        assert await server.refs(namespace="other") == []

    run(scratch, body)


@pytest.mark.parametrize(
    ("message", "data"),
    [(W(action=pb.WRITE, offset=11, data=b"!"), HELLO + b"!"), (W(action=pb.WRITE, data=b"new"), b"new")],
)
def test_a_shared_ingest_becomes_a_copy_when_it_is_changed(scratch: Path, message: W, data: bytes) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        _, changed, done = await server.write(
            W(ref="r", expected=digest),
            message,
            W(action=pb.COMMIT, offset=len(data), expected=digest_of(data), total=len(data)),
            namespace="other",
        )
        assert (changed.offset, changed.digest, done.digest) == (len(data), digest_of(data), digest_of(data))
        assert await server.read(digest) == [(0, HELLO)]

    run(scratch, body)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (W(action=pb.COMMIT, offset=11, total=12), '"r" failed size validation: 11 != 12: failed precondition'),
        (
            W(action=pb.COMMIT, offset=11, expected=digest_of(b"else")),
            '"r" unexpected digest: failed precondition',
        ),
        (
            W(action=pb.COMMIT),
            f"unexpected commit digest {digest_of(b'')}, expected {digest_of(HELLO)}: failed precondition",
        ),
    ],
)
def test_a_shared_ingest_commits_to_nothing_else(scratch: Path, message: W, text: str) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        assert text == await refused(
            errors.FailedPrecondition, server.write(W(ref="r", expected=digest), message, namespace="other")
        )

    run(scratch, body)


def test_isolated_namespaces_must_send_what_they_want(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        (stat,) = await server.write(W(ref="r", expected=digest), namespace="other")
        assert stat.offset == 0

    run(scratch, body, isolated=True)


@pytest.mark.parametrize(("value", "offset"), [("true", 11), ("false", 0)])
def test_an_isolated_namespace_may_share_what_it_has(scratch: Path, value: str, offset: int) -> None:
    async def body(server: Server) -> None:
        namespaces = NamespaceStore(server.database, server.events)
        await namespaces.create("ns", {"containerd.io/namespace.shareable": value})
        digest = await server.put(HELLO)
        (stat,) = await server.write(W(ref="r", expected=digest), namespace="other")
        assert stat.offset == offset

    run(scratch, body, isolated=True)


def test_a_wrong_total_is_not_shared(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        (stat,) = await server.write(W(ref="r", expected=digest, total=12), namespace="other")
        assert stat.offset == 0

    run(scratch, body)


def test_the_lease_holds_the_ingest_and_then_the_blob(scratch: Path) -> None:
    async def body(server: Server) -> None:
        await server.write(W(ref="r", action=pb.WRITE, data=HELLO), lease="lease")
        assert server.leases.held == {("ns", kinds.INGESTS, "r")}
        await server.write(W(ref="r", action=pb.COMMIT, offset=11), lease="lease")
        assert server.leases.held == {("ns", kinds.CONTENT, digest_of(HELLO))}
        await server.service.delete(pb.DeleteContentRequest(digest=digest_of(HELLO)), call("ns", "lease"))
        assert server.leases.held == set()

    run(scratch, body)


def test_a_missing_lease_is_named(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        text = await refused(errors.NotFound, server.write(W(ref="r"), lease="none"))
        assert text == "lease does not exist: not found"
        text = await refused(errors.NotFound, server.write(W(ref="r", expected=digest), lease="none"))
        assert text == "unable to lease content: lease does not exist: not found"
        assert await server.refs() == []

    run(scratch, body)


def test_an_ingest_without_a_lease_lives_for_a_day(scratch: Path) -> None:
    async def body(server: Server) -> None:
        await server.write(W(ref="r"))
        with server.database.reading() as connection:
            lives = connection.execute(
                "SELECT root, (expires_ns - created_ns) / 1000000000 FROM objects WHERE name = 'r'"
            ).fetchone()
        assert lives == (1, 86_400)

    run(scratch, body)


def test_abort_drops_the_ingest_under_its_writer(scratch: Path) -> None:
    async def body(server: Server) -> None:
        stream = Stream(server)
        async with aclosing(stream):
            await stream.send(W(ref="r", action=pb.WRITE, data=b"abc"))
            await server.service.abort(pb.AbortRequest(ref="r"), call("ns"))
            assert await server.refs() == []
            assert (await stream.send(W(action=pb.WRITE, offset=3, data=b"d"))).offset == 4
            await refused(errors.Unknown, stream.send(W(action=pb.COMMIT, offset=4)))
        assert await server.list() == []
        assert (await server.write(W(ref="r")))[0].offset == 0

    run(scratch, body)


@pytest.mark.parametrize(
    ("offset", "size", "parts"),
    [
        (0, 0, [(0, b"hello world")]),
        (-5, 3, [(0, b"hel")]),
        (3, 2, [(0, b"lo")]),
        (3, 100, [(0, b"lo world")]),
        (3, -1, [(0, b"lo world")]),
        (11, 0, []),
    ],
)
def test_a_part_of_a_blob_is_read(scratch: Path, offset: int, size: int, parts: list[tuple[int, bytes]]) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        assert await server.read(digest, offset, size) == parts

    run(scratch, body)


def test_reading_past_the_end_is_refused(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        assert await refused(errors.OutOfRange, server.read(digest, 12)) == "read past object length 11 bytes"

    run(scratch, body)


def test_a_large_blob_comes_in_messages_of_a_mebibyte(scratch: Path) -> None:
    async def body(server: Server) -> None:
        data = os.urandom(2_500_000)
        digest = await server.put(data)
        parts = await server.read(digest, 7)
        assert [(offset, len(part)) for offset, part in parts] == [
            (0, 1 << 20),
            (1 << 20, 1 << 20),
            (2 << 20, 2_500_000 - 7 - (2 << 20)),
        ]
        assert b"".join(part for _, part in parts) == data[7:]

    run(scratch, body)


def test_a_namespace_sees_its_own_blobs_only(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        for request in (
            server.service.info(pb.InfoRequest(digest=digest), call("other")),
            server.read(digest, namespace="other"),
            server.service.delete(pb.DeleteContentRequest(digest=digest), call("other")),
            server.service.update(pb.UpdateRequest(info=pb.Info(digest=digest)), call("other")),
        ):
            assert await refused(errors.NotFound, request) == f"content digest {digest}: not found"
        assert await server.list(namespace="other") == []

    run(scratch, body)


def test_each_call_tells_a_bad_digest_as_the_original_does(scratch: Path) -> None:
    async def body(server: Server) -> None:
        info = server.service.info(pb.InfoRequest(digest="x"), call("ns"))
        assert await refused(errors.InvalidArgument, info) == '"x" failed validation'
        update = server.service.update(pb.UpdateRequest(info=pb.Info(digest="x")), call("ns"))
        assert await refused(errors.InvalidArgument, update) == '"x" failed validation'
        delete = server.service.delete(pb.DeleteContentRequest(digest="x"), call("ns"))
        assert await refused(errors.InvalidArgument, delete) == "invalid checksum digest format"
        assert await refused(errors.InvalidArgument, server.read("x")) == "x: invalid checksum digest format"

    run(scratch, body)


def test_an_update_without_info_is_refused(scratch: Path) -> None:
    async def body(server: Server) -> None:
        text = await refused(errors.InvalidArgument, server.service.update(pb.UpdateRequest(), call("ns")))
        assert "info" in text

    run(scratch, body)


@pytest.mark.parametrize(
    ("labels", "paths", "result"),
    [
        ({"y": "2"}, [], {"y": "2"}),
        ({"y": "2"}, ["labels"], {"y": "2"}),
        ({"y": "2", "z": "3"}, ["labels.y"], {"x": "1", "y": "2"}),
        ({}, ["labels.x"], {}),
        ({"a.b/c": "4"}, ["labels.a.b/c"], {"x": "1", "a.b/c": "4"}),
        ({}, ["labels."], {"x": "1"}),
    ],
)
def test_labels_change_as_the_mask_says(
    scratch: Path, labels: dict[str, str], paths: list[str], result: dict[str, str]
) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)

        async def change(request: pb.UpdateRequest) -> pb.Info:
            return pb.UpdateResponse.FromString(await server.service.update(request, call("ns"))).info

        before = await change(pb.UpdateRequest(info=pb.Info(digest=digest, labels={"x": "1"})))
        request = pb.UpdateRequest(info=pb.Info(digest=digest, labels=labels), update_mask=FieldMask(paths=paths))
        after = await change(request)
        assert dict(after.labels) == result
        assert after.created_at == before.created_at
        assert after.updated_at.ToNanoseconds() > before.updated_at.ToNanoseconds()
        assert after == await server.info(digest)

    run(scratch, body)


def test_only_labels_can_be_updated(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        request = pb.UpdateRequest(info=pb.Info(digest=digest), update_mask=FieldMask(paths=["size"]))
        text = await refused(errors.InvalidArgument, server.service.update(request, call("ns")))
        assert text == f'cannot update "size" field on content info "{digest}": invalid argument'

    run(scratch, body)


def test_a_listing_comes_in_the_order_of_digests_a_hundred_at_a_time(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digests = sorted([await server.put(f"blob {number}".encode()) for number in range(230)])
        replies = [reply async for reply in server.service.list(pb.ListContentRequest(), call("ns"))]
        batches = [pb.ListContentResponse.FromString(reply).info for reply in replies]
        assert [len(batch) for batch in batches] == [100, 100, 30]
        assert [info.digest for batch in batches for info in batch] == digests

    run(scratch, body)


def test_a_filter_finds_the_same_in_a_long_listing_as_in_a_short_one(scratch: Path) -> None:
    async def body(server: Server) -> None:
        for number in range(230):
            digest = await server.put(f"blob {number}".encode())
            info = pb.Info(digest=digest, labels={"third": str(number % 3), "n": str(number)})
            await server.service.update(pb.UpdateRequest(info=info), call("ns"))
        everything = await server.list()
        cases: list[tuple[str, Callable[[pb.Info], bool]]] = [
            ("labels.third==1", lambda info: info.labels["third"] == "1"),
            ("labels.third~=^[12]$", lambda info: info.labels["third"] != "0"),
            ("labels.n==7", lambda info: info.labels["n"] == "7"),
            ("digest~=:a", lambda info: ":a" in info.digest),
            ("digest.x", lambda info: False),
        ]
        for text, is_right in cases:
            right = [info.digest for info in everything if is_right(info)]
            assert [info.digest for info in await server.list(text)] == right

    run(scratch, body)


def test_rows_of_an_earlier_version_are_listed_as_ours(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        await server.service.update(pb.UpdateRequest(info=pb.Info(digest=digest, labels={"a": "b"})), call("ns"))
        listed, info = await server.list(), await server.info(digest)
        await server.database.write(lambda tx: tx.execute("UPDATE blobs SET wire = NULL"))
        assert (await server.list(), await server.info(digest)) == (listed, info)

    run(scratch, body)


def test_a_listing_passes_filters(scratch: Path) -> None:
    async def body(server: Server) -> None:
        one, two = await server.put(b"one"), await server.put(b"two")
        labelled = pb.UpdateRequest(info=pb.Info(digest=one, labels={"a.b/c": "x"}))
        await server.service.update(labelled, call("ns"))
        assert [info.digest for info in await server.list('labels."a.b/c"==x')] == [one]
        assert [info.digest for info in await server.list(f"digest=={two}", "labels.none")] == [two]
        assert len(await server.list("")) == 2
        text = await refused(errors.InvalidArgument, server.list("a=="))
        assert text == "filters: parse error: [a==]: expected value or quoted: invalid argument"

    run(scratch, body)


def test_ingests_are_listed_in_the_order_of_refs(scratch: Path) -> None:
    async def body(server: Server) -> None:
        for ref in ("b", "a", "c"):
            await server.write(W(ref=ref, action=pb.WRITE, data=b"abc", total=9))
        assert await server.refs() == ["a", "b", "c"]
        assert await server.refs("ref==b") == ["b"]
        status = await server.status("b")
        assert (status.ref, status.offset, status.total, status.expected) == ("b", 3, 9, "")

    run(scratch, body)


def test_unknown_ingests_are_named(scratch: Path) -> None:
    async def body(server: Server) -> None:
        assert (
            await refused(errors.NotFound, server.status("x"))
            == 'could not get status for ref "x": reference x: not found'
        )
        abort = server.service.abort(pb.AbortRequest(ref="x"), call("ns"))
        assert await refused(errors.NotFound, abort) == "reference x: not found"

    run(scratch, body)


def test_the_file_goes_with_the_last_namespace_that_has_the_blob(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        await server.put(HELLO, namespace="other")
        for namespace, files in (("ns", 1), ("other", 0)):
            await server.service.delete(pb.DeleteContentRequest(digest=digest), call(namespace))
            await server.collection.collect()
            assert len(await server.backend.list_blobs()) == files

    run(scratch, body)


def test_the_collector_leaves_what_a_shared_ingest_expects_and_what_is_being_written(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        shared, growing = Stream(server, "other"), Stream(server)
        async with aclosing(shared), aclosing(growing):
            await shared.send(W(ref="s", expected=digest))
            await growing.send(W(ref="g", action=pb.WRITE, data=b"abc"))
            await server.service.delete(pb.DeleteContentRequest(digest=digest), call("ns"))
            await server.collection.collect()
            assert (await shared.send(W(action=pb.COMMIT, offset=11))).digest == digest
            assert (await growing.send(W(action=pb.COMMIT, offset=3))).digest == digest_of(b"abc")
        assert await server.read(digest, namespace="other") == [(0, HELLO)]

    run(scratch, body)


def test_a_shared_ingest_that_was_aborted_commits_nothing_that_went(scratch: Path) -> None:
    async def body(server: Server) -> None:
        digest = await server.put(HELLO)
        shared = Stream(server, "other")
        async with aclosing(shared):
            await shared.send(W(ref="s", expected=digest))
            await server.service.abort(pb.AbortRequest(ref="s"), call("other"))
            await server.service.delete(pb.DeleteContentRequest(digest=digest), call("ns"))
            await server.collection.collect()
            await refused(errors.NotFound, shared.send(W(action=pb.COMMIT, offset=11)))
        assert await server.list(namespace="other") == []

    run(scratch, body)


def test_the_collector_runs_beside_writers_and_takes_nothing_of_theirs(scratch: Path) -> None:
    async def body(server: Server) -> None:
        async def write_and_check(number: int) -> None:
            data = f"blob {number % 5}".encode()
            stream = Stream(server, f"n{number}")
            async with aclosing(stream):
                await stream.send(W(ref="r", action=pb.WRITE, data=data))
                await stream.send(W(action=pb.COMMIT, offset=len(data)))
            assert await server.read(digest_of(data), namespace=f"n{number}") == [(0, data)]
            await server.service.delete(pb.DeleteContentRequest(digest=digest_of(data)), call(f"n{number}"))

        async def collect() -> None:
            for _ in range(30):
                await server.collection.collect()

        async with asyncio.TaskGroup() as group:
            collector = group.create_task(collect())
            for number in range(60):
                group.create_task(write_and_check(number))
        assert collector.done()
        await server.collection.collect()
        assert await server.backend.list_blobs() == []

    run(scratch, body)


def test_a_call_without_a_namespace_is_refused(scratch: Path) -> None:
    async def body(server: Server) -> None:
        text = await refused(errors.FailedPrecondition, server.write(W(ref="r"), namespace=""))
        assert text == "namespace is required: failed precondition"

    run(scratch, body)
