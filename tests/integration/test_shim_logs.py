"""Logs that our shim writes: whole whatever happens to the daemon, to readers, to the shim, and to the disk."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.api.pycontainerd.services.logs import v1_pb2 as logs_pb2
from pycontainerd.errors import FailedPrecondition, NotFound, ResourceExhausted, Unknown
from pycontainerd.rpc.service import methods_of
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.shim.transport import connect_unix
from tests.harness.logs import Record, records
from tests.integration.shim_process import OURS, ShimProcess
from tests.integration.test_shim_streams import Fifo

METHODS: Final = methods_of(logs_pb2.DESCRIPTOR.services_by_name["Logs"])
Body = Callable[[ShimProcess], Coroutine[Any, Any, None]]


def played(scratch: Path, body: Body, *arguments: str, **options: Any) -> None:
    """Runs *body* with a shim for a container that runs *arguments*."""
    with ShimProcess.start(OURS, scratch, *arguments, **options) as shim:

        async def with_shim() -> None:
            await body(shim)

        shim.run(with_shim)


def script(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


async def ended(shim: ShimProcess) -> None:
    await shim.begin()
    assert await shim.wait() == 0
    await shim.delete()


async def holds(shim: ShimProcess, path: Path, text: bytes) -> None:
    """Waits until the file has *text*."""
    until = shim.loop.now() + 60
    while not path.exists() or text not in path.read_bytes():  # noqa: ASYNC240 - it is our own small loop
        assert shim.loop.now() < until, f"{path} has no {text!r}"
        await shim.loop.sleep(0.01)


async def follow(shim: ShimProcess, backlog: int = 0, exec_id: str = "") -> AsyncIterator[tuple[int, bytes]]:
    """What comes from now on, over a connection of its own. The first item is empty."""
    connection = TtrpcClientConnection(shim.loop)
    connect_unix(shim.loop, str(shim.socket_path), connection)
    try:
        request = logs_pb2.FollowRequest(id=shim.id, exec_id=exec_id, backlog=backlog)
        async with connection.stream(METHODS["follow"], timeout_s=60) as stream:
            await stream.send(request)
            await stream.close_send()
            async for output in stream:
                yield output.source, output.data
    finally:
        await connection.close()


async def reopen(shim: ShimProcess, exec_id: str = "", id_: str = "") -> None:
    assert shim.client is not None
    request = logs_pb2.ReopenRequest(id=id_ or shim.id, exec_id=exec_id)
    await shim.client.unary(METHODS["reopen"], request, timeout_s=60)


def test_both_streams_stand_in_one_file_in_the_format_of_kubernetes(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "logs" / "c.log"
        uri = f"cri-log://{path}?max-line=8"
        await shim.create(stdin=str(Fifo(shim, "in").path), stdout=uri, stderr=uri)
        await shim.begin()
        typed = os.open(shim.base / "in", os.O_WRONLY)
        for text in (b"one\n", b"two\n"):
            await holds(shim, path, text)
            os.write(typed, b"go on\n")
        assert await shim.wait() == 0
        await shim.delete()
        os.close(typed)
        assert records(path) == [
            Record("stdout", "F", b"one"),
            Record("stderr", "F", b"two"),
            Record("stdout", "P", b"a line t"),
            Record("stdout", "P", b"hat is t"),
            Record("stdout", "F", b"oo long"),
            Record("stdout", "P", b"the end"),
        ]

    say = "echo one; read x; echo two >&2; read x; echo a line that is too long; printf 'the end'"
    played(scratch, body, *script(say))


def test_a_stream_that_is_not_asked_for_goes_nowhere(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "c.log"
        await shim.create(stdout=f"cri-log://{path}")
        await ended(shim)
        assert records(path) == [Record("stdout", "F", b"one")]

    played(scratch, body, *script("echo two >&2; echo one"))


def test_who_reads_along_gets_the_bytes_and_may_type(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path, into = shim.base / "c.log", Fifo(shim, "in")
        await shim.create(stdout=f"cri-log://{path}", stderr=f"cri-log://{path}", stdin=str(into.path))
        await shim.begin()
        typed = os.open(into.path, os.O_WRONLY)
        os.write(typed, b"early\n")
        await holds(shim, path, b"early\n")
        output = follow(shim)
        assert await anext(output) == (logs_pb2.NONE, b"")
        os.write(typed, b"out\n")
        assert await anext(output) == (logs_pb2.STDOUT, b"out\n")
        os.close(typed)
        await shim.call("close_io", task.CloseIORequest(id=shim.id, stdin=True))
        assert [piece async for piece in output] == [(logs_pb2.STDERR, b"err\r\n")]
        assert await shim.wait() == 0
        assert [record.text for record in records(path)] == [b"early", b"out", b"err"]

    played(scratch, body, *script("cat; printf 'err\\r\\n' >&2"))


def test_a_terminal_is_logged_and_followed(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path, into = shim.base / "c.log", Fifo(shim, "in")
        await shim.create(stdout=f"cri-log://{path}", stdin=str(into.path), terminal=True)
        await shim.begin()
        output = follow(shim)
        await anext(output)
        await shim.call("resize_pty", task.ResizePtyRequest(id=shim.id, width=123, height=45))
        typed = os.open(into.path, os.O_WRONLY)
        os.write(typed, b"stty size; exit 3\n")
        assert await shim.wait() == 3
        said = b"".join([data async for _, data in output])
        assert b"\r\n45 123\r\n" in said
        assert Record("stdout", "F", b"45 123") in records(path)
        os.close(typed)
        await shim.call("resize_pty", task.ResizePtyRequest(id=shim.id, width=80, height=25))
        await shim.delete()

    played(scratch, body, "/bin/sh", terminal=True)


def test_a_slow_reader_is_left_behind_and_holds_nothing_up(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "c.log"
        await shim.create(stdout=f"cri-log://{path}", stdin=str(Fifo(shim, "in").path))
        await shim.begin()
        slow = follow(shim, backlog=1000)
        await anext(slow)
        typed = os.open(shim.base / "in", os.O_WRONLY)
        os.write(typed, b"go\n")
        assert await shim.wait() == 0
        await shim.delete()
        with pytest.raises(ResourceExhausted, match="more than 1000 bytes behind"):
            async for _ in slow:
                pass
        assert sum(len(record.text) for record in records(path)) == 20 << 20
        os.close(typed)

    played(scratch, body, *script("read go; dd if=/dev/zero bs=1048576 count=20 2>/dev/null"))


def test_a_moved_file_is_begun_anew_while_the_process_writes(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "logs" / "c.log"
        await shim.create(stdout=f"cri-log://{path}")
        await shim.begin()
        for number in range(5):
            await holds(shim, path, b"\n")
            path.rename(path.with_suffix(f".{number}"))
            await reopen(shim)
        await shim.kill()
        assert await shim.wait() == 137
        await shim.delete()
        files = [*(path.with_suffix(f".{number}") for number in range(5)), path]
        found = [record for file in files for record in records(file)]
        if found[-1].tag == "P":  # killed in the middle of a number
            found.pop()
        assert [int(record.text) for record in found] == list(range(1, len(found) + 1))

    played(scratch, body, "/bin/seq", "100000000")


def test_files_are_begun_anew_by_size(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "c.log"
        await shim.create(stdout=f"cri-log://{path}?max-size=1000000&max-files=3")
        await ended(shim)
        files = [path.with_name(f"c.log.{number}") for number in (2, 1)] + [path]
        assert [file.stat().st_size <= 1000000 for file in files] == [True] * 3
        numbers = [int(record.text) for file in files for record in records(file)]
        assert numbers == list(range(numbers[0], 100001))
        assert not path.with_name("c.log.3").exists()

    played(scratch, body, "/bin/seq", "100000")


def test_an_exec_has_a_log_of_its_own(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        path = shim.base / "exec.log"
        await shim.create()
        await shim.begin()
        await shim.add_exec("e1", *script("echo out; echo err >&2"), stdout=f"cri-log://{path}", stderr="ignored")
        with pytest.raises(FailedPrecondition, match="the output of c1 goes to no log of ours"):
            await reopen(shim)
        with pytest.raises(NotFound):
            await reopen(shim, "nobody")
        with pytest.raises(NotFound):
            await reopen(shim, id_="nobody")
        await shim.begin("e1")
        assert await shim.wait("e1") == 0
        await reopen(shim, "e1")
        await shim.delete("e1")
        assert sorted(record.text for record in records(path)) == [b"err", b"out"]

    played(scratch, body, "/bin/sleep", "1000")


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("cri-log://{base}/c.log?max-size=much", "max-size=much is no number"),
        ("cri-log://{base}/c.log?color=red", "unknown option color"),
        ("cri-log://{base}", "no regular file|Is a directory"),
    ],
)
def test_a_log_that_can_not_be_written_is_an_error(scratch: Path, uri: str, why: str) -> None:
    async def body(shim: ShimProcess) -> None:
        with pytest.raises(Unknown, match=why):
            await shim.create(stdout=uri.format(base=shim.base))
        await shim.create()

    played(scratch, body, "/bin/true")


def test_all_records_but_the_last_of_a_killed_shim_are_whole(scratch: Path) -> None:
    path = scratch / "c.log"
    with ShimProcess.start(OURS, scratch, "/bin/seq", "100000000") as shim:
        pid = shim.pid()

        async def body() -> None:
            await shim.create(stdout=f"cri-log://{path}")
            await shim.begin()
            await holds(shim, path, b" 1000\n")
            os.kill(pid, signal.SIGKILL)
            assert shim.client is not None
            await shim.client.wait_closed()

        shim.run(body)
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)  # a kill may end a large write between two pages
        numbers = [int(record.text) for record in records(path)]
        assert numbers == list(range(1, numbers[-1] + 1))


@pytest.fixture
def small_disk(scratch: Path) -> Iterator[Path]:
    """A file system of a mebibyte."""
    mountpoint = scratch / "small"
    mountpoint.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", mountpoint], check=True)
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


def test_a_full_disk_stops_nobody_and_what_is_missing_is_said(scratch: Path, small_disk: Path) -> None:
    path, ballast = small_disk / "c.log", small_disk / "ballast"
    ballast.write_bytes(bytes(512 << 10))

    async def body(shim: ShimProcess) -> None:
        await shim.create(stdout=f"cri-log://{path}", stdin=str(Fifo(shim, "in").path))
        await shim.begin()
        output = follow(shim, backlog=64 << 20)
        await anext(output)
        typed = os.open(shim.base / "in", os.O_WRONLY)
        os.write(typed, b"go\n")
        seen = b""
        while b"100000\n" not in seen:
            seen += (await anext(output))[1]
        kept = len(records(path))
        ballast.unlink()
        os.write(typed, b"again\n")
        assert await shim.wait() == 0
        await shim.delete()
        *found, said, last = records(path)
        assert [int(record.text) for record in found] == list(range(1, kept + 1))
        text = f"pycontainerd: {100000 - kept} records are missing here: no space left on device"
        assert said == Record("stderr", "F", text.encode())
        assert last == Record("stdout", "F", b"again")
        os.close(typed)
        assert "no space left on device: output is lost from now on" in shim.log_of("c1")

    played(scratch, body, *script("read go; seq 100000; read word; echo $word"))
