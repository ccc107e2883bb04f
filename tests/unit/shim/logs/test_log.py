"""A log and those who read along in it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.errors import ResourceExhausted, Unknown
from pycontainerd.shim.logs.followers import BACKLOG, MOST, Follower
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.logs.record import STDERR, STDOUT
from pycontainerd.shim.logs.target import LogTarget
from pycontainerd.shim.loop import Loop


def in_loop(body: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    errors: list[BaseException] = []
    loop = Loop(lambda name, error: errors.append(error))
    loop.run(body(loop))
    for error in errors:
        raise error


def opened(loop: Loop, path: Path) -> Log:
    return Log(loop, LogTarget(str(path)), (STDOUT, STDERR), pytest.fail)


async def rest(follower: Follower) -> list[tuple[str, bytes]]:
    found = []
    while (piece := await follower.next()) is not None:
        found.append(piece)
    return found


def test_followers_get_the_bytes_as_they_come_and_the_file_gets_lines(tmp_path: Path) -> None:
    async def body(loop: Loop) -> None:
        log = opened(loop, tmp_path / "c.log")
        log.write(STDOUT, b"before\n")
        first, second = log.followers.join(0), log.followers.join(0)
        log.write(STDOUT, b"he")
        log.write(STDERR, b"oh\r\n")
        log.followers.leave(second)
        log.write(STDOUT, b"llo")
        log.end(STDOUT)
        log.end(STDERR)
        assert await rest(first) == [(STDOUT, b"he"), (STDERR, b"oh\r\n"), (STDOUT, b"llo")]
        assert await rest(log.followers.join(0)) == []
        lines = [line.split(b" ", 1)[1] for line in (tmp_path / "c.log").read_bytes().splitlines()]
        assert lines == [b"stdout F before", b"stderr F oh", b"stdout P hello"]

    in_loop(body)


def test_who_waits_is_woken_by_what_comes_and_by_the_end(tmp_path: Path) -> None:
    async def body(loop: Loop) -> None:
        log = opened(loop, tmp_path / "c.log")
        _, result = loop.begin(rest(log.followers.join(0)), name="reader")
        await loop.sleep(0)
        log.write(STDOUT, b"one")
        await loop.sleep(0)
        log.close()
        assert await result == [(STDOUT, b"one")]

    in_loop(body)


@pytest.mark.parametrize(("backlog", "bound"), [(0, BACKLOG), (1000, 1000), (1 << 31, MOST)])
def test_a_follower_that_is_too_far_behind_is_left_behind(tmp_path: Path, backlog: int, bound: int) -> None:
    async def body(loop: Loop) -> None:
        log = opened(loop, tmp_path / "c.log")
        slow = log.followers.join(backlog)
        log.write(STDOUT, bytes(bound))
        assert await slow.next() == (STDOUT, bytes(bound))
        log.write(STDOUT, bytes(bound))
        log.write(STDOUT, b"\n")
        with pytest.raises(ResourceExhausted, match=f"more than {bound} bytes behind"):
            await slow.next()
        log.close()

    in_loop(body)


def test_nobody_minds_a_follower_that_is_left_behind(tmp_path: Path) -> None:
    async def body(loop: Loop) -> None:
        log = opened(loop, tmp_path / "c.log")
        slow, quick = log.followers.join(1), log.followers.join(10)
        log.write(STDOUT, b"one\n")
        log.write(STDOUT, b"two\n")
        log.close()
        assert await rest(quick) == [(STDOUT, b"one\n"), (STDOUT, b"two\n")]
        assert len((tmp_path / "c.log").read_bytes().splitlines()) == 2
        with pytest.raises(ResourceExhausted):
            await slow.next()

    in_loop(body)


def test_reopening_after_the_end_makes_no_file(tmp_path: Path) -> None:
    async def body(loop: Loop) -> None:
        log = opened(loop, tmp_path / "c.log")
        log.close()
        (tmp_path / "c.log").unlink()
        log.reopen()
        log.close()
        assert not (tmp_path / "c.log").exists()

    in_loop(body)


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, LogTarget("/c.log", 16384, 0, 5)),
        ({"max-line": "0", "max-size": "1000", "max-files": "0"}, LogTarget("/c.log", 0, 1000, 1)),
    ],
)
def test_options_have_their_usual_values(options: dict[str, str], target: LogTarget) -> None:
    assert LogTarget.parse("/c.log", options) == target


@pytest.mark.parametrize(
    ("path", "options", "why"),
    [
        ("c.log", {}, "must be absolute"),
        ("", {}, "must be absolute"),
        ("/c.log", {"size": "1"}, "unknown option size"),
        ("/c.log", {"max-size": "10m"}, "max-size=10m is no number"),
        ("/c.log", {"max-size": "-1"}, "max-size=-1 is no number"),
    ],
)
def test_what_can_not_be_meant_is_refused(path: str, options: dict[str, str], why: str) -> None:
    with pytest.raises(Unknown, match=why):
        LogTarget.parse(path, options)
