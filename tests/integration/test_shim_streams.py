"""Where the output of containers goes and their input comes from: every byte arrives, and nobody is waited for."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.errors import Unknown
from tests.integration.shim_process import OURS, ShimProcess

Body = Callable[[ShimProcess], Coroutine[Any, Any, None]]


def played(scratch: Path, body: Body, *arguments: str, **options: Any) -> None:
    """Runs *body* with a shim for a container that runs *arguments*."""
    with ShimProcess.start(OURS, scratch, *arguments, **options) as shim:

        async def with_shim() -> None:
            await body(shim)

        shim.run(with_shim)


class Fifo:
    """A fifo of the client's, read as a client does."""

    def __init__(self, shim: ShimProcess, name: str) -> None:
        self.loop = shim.loop
        self.path = shim.base / name
        os.mkfifo(self.path)
        self.fd = -1

    def open(self) -> None:
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        self.loop.forget(self.fd)
        os.close(self.fd)

    async def read(self) -> bytes:
        """The next bytes, nothing at the end."""
        await self.loop.readable(self.fd)
        return os.read(self.fd, 1 << 20)

    async def until(self, text: bytes) -> bytes:
        got = b""
        while text not in got:
            data = await self.read()
            assert data, f"the end came after {got!r}"
            got += data
        return got

    async def size(self) -> int:
        """The number of bytes to the end."""
        total = 0
        while data := await self.read():
            total += len(data)
        return total


def test_a_hundred_megabytes_arrive_whole(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        out.open()
        await shim.create(stdout=str(out.path))
        await shim.begin()
        assert await out.size() == 100 << 20
        assert await shim.wait() == 0
        out.close()

    played(scratch, body, "/bin/dd", "if=/dev/zero", "bs=1048576", "count=100")


def test_output_of_a_container_that_ends_at_once_is_read_afterwards(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out, err = Fifo(shim, "out"), Fifo(shim, "err")
        for fifo in (out, err):
            fifo.open()
        await shim.create(stdout=str(out.path), stderr=str(err.path))
        await shim.begin()
        await shim.wait()
        await shim.delete()
        assert await out.until(b"out\n") == b"out\n"
        assert await err.until(b"err\n") == b"err\n"
        assert await out.read() == b""
        out.close()
        err.close()

    played(scratch, body, "/bin/sh", "-c", "echo out; echo err >&2")


def test_a_reader_may_come_late_and_leave_and_come_back(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        await shim.create(stdout=str(out.path), stdin=str(Fifo(shim, "in").path))
        await shim.begin()
        writer = os.open(shim.base / "in", os.O_WRONLY)
        os.write(writer, b"first\n")
        out.open()
        await out.until(b"first\n")
        out.close()
        os.write(writer, b"second\n")
        out.open()
        await out.until(b"second\n")
        await shim.call("close_io", task.CloseIORequest(id=shim.id, stdin=True))
        os.close(writer)
        assert await shim.wait() == 0
        assert await out.read() == b""
        out.close()

    played(scratch, body, "/bin/cat")


def test_stdin_ends_only_when_the_client_asks_for_it_and_has_closed_it(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        out.open()
        await shim.create(stdout=str(out.path), stdin=str(Fifo(shim, "in").path))
        await shim.begin()
        for text in (b"one\n", b"two\n"):
            writer = os.open(shim.base / "in", os.O_WRONLY)
            os.write(writer, text)
            os.close(writer)
            await out.until(text)
        await shim.call("close_io", task.CloseIORequest(id=shim.id, stdin=True))
        assert await shim.wait() == 0
        out.close()

    played(scratch, body, "/bin/cat")


def test_a_fifo_without_reader_stops_neither_the_shim_nor_the_end_of_the_container(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create(stdout=str(Fifo(shim, "out").path))
        await shim.begin()
        assert await shim.wait() == 0
        await shim.delete()

    played(scratch, body, "/bin/echo", "nobody reads this")


def test_a_full_fifo_stops_the_container_only(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        await shim.create(stdout=str(out.path))
        out.open()  # and not read: what is in a fifo that nobody has open is lost
        await shim.begin()
        state = await shim.call("state", task.StateRequest(id=shim.id))
        assert state.pid > 0
        await shim.kill()
        assert await shim.wait() == 137
        assert await out.size() < 100 << 20
        out.close()

    played(scratch, body, "/bin/dd", "if=/dev/zero", "bs=1048576", "count=100")


def test_both_streams_go_into_one_log_file_that_is_appended_to(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        file = shim.base / "logs" / "deep" / "c1.log"
        file.parent.mkdir(parents=True)
        file.write_text("before\n")
        await shim.create(stdout=f"file://{file}", stderr=f"file://{file}")
        await shim.begin()
        await shim.wait()
        await shim.delete()
        assert file.read_text() == "before\nout\nerr\n"

    played(scratch, body, "/bin/sh", "-c", "echo out; echo err >&2")


def test_a_log_file_gets_the_directories_and_modes_of_the_original(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        file = shim.base / "made" / "here" / "c1.log"
        await shim.create(stdout=f"file://{file}")
        await shim.begin()
        await shim.wait()
        await shim.delete()
        assert file.stat().st_size == 10 << 20
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755

    played(scratch, body, "/bin/dd", "if=/dev/zero", "bs=1048576", "count=10")


LOGGER = """#!/bin/sh
{ready}
echo "$CONTAINER_ID $CONTAINER_NAMESPACE $*" > {place}/seen
cat <&3 > {place}/out &
cat <&4 > {place}/err
wait
"""


def logger(base: Path, ready: str) -> Path:
    path = base / "logger"
    path.write_text(LOGGER.format(ready=ready, place=base))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("scheme", "ready"), [("binary", "exec 5>&-"), ("binary-v2", "echo >&5; exec 5>&-")])
def test_a_logging_program_gets_every_byte_directly(scratch: Path, scheme: str, ready: str) -> None:
    async def body(shim: ShimProcess) -> None:
        program = logger(shim.base, ready)
        await shim.create(stdout=f"{scheme}://{program}?key=value&other=a%20b")
        await shim.begin()
        assert await shim.wait() == 0
        await shim.delete()
        assert (shim.base / "out").stat().st_size == 20 << 20
        assert (shim.base / "err").read_text() == "err\n"
        seen = (shim.base / "seen").read_text().split(maxsplit=2)
        assert seen[:2] == [shim.id, shim.namespace]
        assert seen[2] == "key value other a b\n"

    script = "echo err >&2; dd if=/dev/zero bs=1048576 count=20 2>/dev/null"
    played(scratch, body, "/bin/sh", "-c", script)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])
def test_a_logging_program_that_dies_holds_nothing_up(scratch: Path, *, terminal: bool) -> None:
    async def body(shim: ShimProcess) -> None:
        program = shim.base / "mortal"
        program.write_text("#!/bin/sh\nexec 5>&-\nread line <&3\n")
        program.chmod(0o755)
        await shim.create(stdout=f"binary://{program}", terminal=terminal)
        await shim.begin()
        assert await shim.wait() == 0
        await shim.delete()
        assert f"logging program {program} has ended: output is lost from now on" in shim.log_of("c1")

    played(scratch, body, "/bin/seq", "300000", terminal=terminal)


def test_one_fifo_takes_both_streams(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        out.open()
        await shim.create(stdout=str(out.path), stderr=str(out.path))
        await shim.begin()
        assert await out.size() == 20 << 20
        assert await shim.wait() == 0
        out.close()

    write = "dd if=/dev/zero bs=1048576 count=10"
    played(scratch, body, "/bin/sh", "-c", f"{write} 2>/dev/null & {write} >&2 2>/dev/null; wait")


def test_a_logging_program_that_never_says_that_it_is_ready_is_an_error(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        program = logger(shim.base, "exec 5>&-")
        with pytest.raises(Unknown, match="did not call ready"):
            await shim.create(stdout=f"binary-v2://{program}")

    played(scratch, body, "/bin/true")


def test_a_terminal_has_its_size_and_ends_with_its_container(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out, into = Fifo(shim, "out"), Fifo(shim, "in")
        out.open()
        await shim.create(stdout=str(out.path), stdin=str(into.path), terminal=True)
        await shim.call("resize_pty", task.ResizePtyRequest(id=shim.id, width=123, height=45))
        await shim.begin()
        writer = os.open(into.path, os.O_WRONLY)
        os.write(writer, b"stty size\n")
        await out.until(b"45 123")
        os.write(writer, b"exit 4\n")
        assert await shim.wait() == 4
        assert await out.size() >= 0
        await shim.delete()
        os.close(writer)
        out.close()

    before = {name for name in os.listdir("/tmp") if name.startswith("pty")}
    played(scratch, body, "/bin/sh", terminal=True)
    assert {name for name in os.listdir("/tmp") if name.startswith("pty")} <= before


def test_a_terminal_hangs_up_when_nobody_can_type_any_more(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out, into = Fifo(shim, "out"), Fifo(shim, "in")
        out.open()
        await shim.create(stdout=str(out.path), stdin=str(into.path), terminal=True)
        await shim.begin()
        await shim.call("close_io", task.CloseIORequest(id=shim.id, stdin=True))
        # The end of its input, a read that fails, or the signal: whichever the shell meets first.
        assert await shim.wait() in (0, 2, 129)
        out.close()

    played(scratch, body, "/bin/sh", terminal=True)


def test_a_terminal_that_nobody_reads_holds_nothing_up(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create(terminal=True)
        await shim.begin()
        assert await shim.wait() == 0
        await shim.delete()

    played(scratch, body, "/bin/seq", "100000", terminal=True)


def test_pipes_belong_to_the_user_of_the_options(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        out = Fifo(shim, "out")
        out.open()
        request: Any = shim.create_request(stdout=str(out.path))
        options = shim.options()
        options.io_uid, options.io_gid = 1234, 5678
        request.options.value = options.SerializeToString()
        await shim.call("create", request)
        await shim.begin()
        # runc gives stdio to the container's own user, and leaves the group.
        assert (await out.until(b"\n")).split() == [b"0", b"5678"]
        out.close()

    played(scratch, body, "/bin/sh", "-c", "/bin/busybox stat -L -c '%u %g' /proc/self/fd/1")


def test_an_exec_has_streams_of_its_own(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        out, into = Fifo(shim, "out"), Fifo(shim, "in")
        out.open()
        await shim.add_exec("e1", "/bin/cat", stdin=str(into.path), stdout=str(out.path))
        await shim.begin("e1")
        writer = os.open(into.path, os.O_WRONLY)
        os.write(writer, b"through an exec\n")
        await out.until(b"through an exec\n")
        os.close(writer)
        await shim.call("close_io", task.CloseIORequest(id=shim.id, exec_id="e1", stdin=True))
        assert await shim.wait("e1") == 0
        await shim.delete("e1")
        assert await out.read() == b""
        out.close()

    played(scratch, body, "/bin/sleep", "1000")


def test_descriptors_do_not_pile_up(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        shim_pid = (await shim.call("connect", task.ConnectRequest(id=shim.id))).shim_pid
        counts = []
        for number in range(4):
            out = Fifo(shim, f"out{number}")
            out.open()
            await shim.add_exec("e", "/bin/echo", "hi", stdout=str(out.path))
            await shim.begin("e")
            await shim.wait("e")
            await shim.delete("e")
            out.close()
            counts.append(len(os.listdir(f"/proc/{shim_pid}/fd")))
        assert counts[1:] == counts[:-1]

    played(scratch, body, "/bin/sleep", "1000")
