"""Destinations of output, on the stock shim and on ours: the same errors, and the same bytes in the same places."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.rpc.ttrpc.link import ConnectionClosed
from tests.harness.differences import deliberate
from tests.integration.shim_process import OURS, STOCK, ShimProcess
from tests.integration.test_shim_differences import Recorder

Fields = dict[str, Any]

_numbers = itertools.count(1)

TRIES: Final = 20
SAY: Final = ("/bin/sh", "-c", "echo out; echo err >&2")
PROGRAM: Final = """#!/bin/sh
trap "" TERM
echo "$CONTAINER_ID $(env | grep -c ^CONTAINER_) $*" > {base}/seen
exec 5>&-
cat <&3 > {base}/out &
cat <&4 > {base}/err
wait
"""


class Outcome(NamedTuple):
    """What the start answered, and, if it went well, how the process ended and what was found where."""

    start: tuple[str, str]
    status: int = 0
    found: tuple[tuple[str, bytes], ...] = ()


SAME: Final[dict[str, Callable[[Path], Fields]]] = {
    "two fifos": lambda base: {"stdout": f"{base}/one", "stderr": f"{base}/two"},
    "one fifo for both": lambda base: {"stdout": f"{base}/one", "stderr": f"{base}/one"},
    "plain file": lambda base: {"stdout": f"{base}/plain", "stderr": f"{base}/plain"},
    "stdin of a plain file": lambda base: {
        "stdin": f"{base}/plain",
        "stdout": f"{base}/one",
        "stderr": f"{base}/two",
    },
    "no such stdin": lambda base: {"stdin": f"{base}/nope", "stdout": f"{base}/one", "stderr": f"{base}/two"},
    "no such stdout": lambda base: {"stdout": f"{base}/nope", "stderr": f"{base}/two"},
    "log file": lambda base: {"stdout": f"file://{base}/logs/a%20b", "stderr": f"file://{base}/logs/a%20b"},
    "log file with a query": lambda base: {"stdout": f"file://{base}/log?x=1", "stderr": f"file://{base}/log?x=1"},
    "two log files": lambda base: {"stdout": f"file://{base}/log", "stderr": f"file://{base}/other"},
    "a log file and an unknown scheme": lambda base: {"stdout": f"file://{base}/log", "stderr": "what:///x"},
    "log file that is a directory": lambda base: {"stdout": f"file://{base}", "stderr": f"file://{base}"},
    "bad escape": lambda base: {"stdout": "file:///%zz/x", "stderr": "file:///%zz/x"},
    "program": lambda base: {"stdout": f"binary://{base}/program?key=a%20value"},
    "program for both": lambda base: {"stdout": f"binary://{base}/program", "stderr": f"binary://{base}/program"},
    "no such program": lambda base: {"stdout": f"binary://{base}/nope"},
    "no program": lambda base: {"stdout": "binary://"},
    "unknown scheme": lambda base: {"stdout": "what:///x"},
    "stream of a sandbox": lambda base: {"stdout": "ttrpc+unix:///nowhere?streaming_id=x"},
    "terminal": lambda base: {"stdout": f"{base}/one", "stdin": f"{base}/in", "terminal": True},
    "terminal without input": lambda base: {"stdout": f"{base}/one", "terminal": True},
    "terminal with stderr": lambda base: {"stdout": f"{base}/one", "stderr": f"{base}/two", "terminal": True},
    "terminal to a plain file": lambda base: {"stdout": f"{base}/plain", "terminal": True},
    "terminal to nowhere": lambda base: {"stdout": f"{base}/nope", "terminal": True},
    "terminal to a program": lambda base: {"stdout": f"binary://{base}/program", "terminal": True},
    "terminal to an unknown scheme": lambda base: {"stdout": "what:///x", "terminal": True},
    "terminal without such input": lambda base: {
        "stdout": f"{base}/one",
        "stdin": f"{base}/nope",
        "terminal": True,
    },
}

OTHER: Final[list[tuple[str, str, Callable[[Path], Fields], Outcome]]] = [
    ("null-output-writable", "nothing", lambda base: {}, Outcome(("OK", ""))),
    (
        "stdout-alone-taken",
        "a fifo for stdout alone",
        lambda base: {"stdout": f"{base}/one"},
        Outcome(("OK", ""), 0, (("one", b"out\n"),)),
    ),
    (
        "fifo-uris-taken",
        "fifos as URIs",
        lambda base: {"stdout": f"fifo://{base}/one", "stderr": f"fifo://{base}/two"},
        Outcome(("OK", ""), 0, (("one", b"out\n"), ("two", b"err\n"))),
    ),
    (
        "terminal-anywhere",
        "terminal to a log file",
        lambda base: {"stdout": f"file://{base}/log", "terminal": True},
        Outcome(("OK", ""), 0, (("log", b"out\r\nerr\r\n"),)),
    ),
    (
        "terminal-anywhere",
        "terminal without output",
        lambda base: {"terminal": True},
        Outcome(("OK", "")),
    ),
    (
        "dead-logger-survived",
        "program that ends at once",
        lambda base: {"stdout": "binary:///bin/true"},
        Outcome(("OK", "")),
    ),
    (
        "stdout-alone-taken",
        "a log file for stdout alone",  # the last: it ends the stock shim
        lambda base: {"stdout": f"file://{base}/log"},
        Outcome(("OK", ""), 0, (("log", b"out\n"),)),
    ),
]


@pytest.fixture(scope="module")
def outcomes(session_base: Path) -> dict[str, dict[str, Outcome]]:
    """What every destination came to, by the kind of the shim."""
    found: dict[str, dict[str, Outcome]] = {}
    cases = SAME | {name: fields for _, name, fields, _ in OTHER}
    top = session_base / "stdio"
    top.mkdir()
    for kind in (OURS, STOCK):
        with ShimProcess.start(kind, top, "/bin/sleep", "1000") as shim:
            found[kind] = played(shim, cases)
    return found


def played(shim: ShimProcess, cases: dict[str, Callable[[Path], Fields]]) -> dict[str, Outcome]:
    """Runs the same process with each destination."""
    found: dict[str, Outcome] = {}

    async def body() -> None:
        await shim.create()
        await shim.begin()
        for name, fields in cases.items():
            found[name] = await tried(shim, fields, whole=name in SAME and shim.kind == STOCK)

    shim.run(body)
    return found


async def tried(shim: ShimProcess, fields: Callable[[Path], Fields], *, whole: bool) -> Outcome:
    """What one destination came to; again if output must be *whole*: the original loses some of a shared file."""
    for _ in range(TRIES):
        number = next(_numbers)
        base = make_place(shim.base / f"case{number}")
        outcome = await outcome_of(shim, base, f"e{number}", fields(base))
        said = b"".join(data for _, data in outcome.found)
        if not whole or outcome.start[0] != "OK" or (b"out" in said and b"err" in said):
            return outcome
    raise AssertionError(f"a part of the output was lost {TRIES} times")


def make_place(base: Path) -> Path:
    base.mkdir()
    for name in ("one", "two", "in"):
        os.mkfifo(base / name)
    (base / "plain").touch()
    (base / "program").write_text(PROGRAM.format(base=base))
    (base / "program").chmod(0o755)
    return base


async def outcome_of(shim: ShimProcess, base: Path, exec_id: str, fields: Fields) -> Outcome:
    recorder = Recorder(shim)
    readers = {name: os.open(base / name, os.O_RDONLY | os.O_NONBLOCK) for name in ("one", "two")}
    try:
        await shim.add_exec(exec_id, *SAY, **fields)
        code, text = await shim.outcome("start", task.StartRequest(id=shim.id, exec_id=exec_id))
        text = "" if code == "OK" else recorder.plain(text).replace(base.name, "CASE")
        if code != "OK":
            return Outcome((code, text))
        status = await shim.wait(exec_id)
        await shim.delete(exec_id)
        found = {name: os.read(fd, 4096) for name, fd in readers.items()}
    except ConnectionClosed:
        return Outcome(("the shim has ended", ""))
    finally:
        for fd in readers.values():
            os.close(fd)
    found |= {name: data.replace(exec_id.encode(), b"EXEC") for name, data in files_of(base).items()}
    return Outcome((code, text), status, tuple((name, data) for name, data in found.items() if data))


def files_of(base: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(base.rglob("*")) if path.is_file() and path.name != "program"]
    return {path.name: path.read_bytes() for path in paths}


def ordered(outcome: Outcome) -> Outcome:
    """Two streams in one file come in no certain order."""
    lines = tuple((name, b"".join(sorted(data.splitlines(keepends=True)))) for name, data in outcome.found)
    return outcome._replace(found=lines)


@pytest.mark.parametrize("name", SAME)
def test_a_destination_is_that_of_the_original(outcomes: dict[str, dict[str, Outcome]], name: str) -> None:
    assert ordered(outcomes[OURS][name]) == ordered(outcomes[STOCK][name])


@pytest.mark.parametrize(("difference", "name", "expected"), [(d, name, found) for d, name, _, found in OTHER])
def test_a_destination_differs_on_purpose(
    outcomes: dict[str, dict[str, Outcome]], difference: str, name: str, expected: Outcome
) -> None:
    deliberate(difference)
    assert ordered(outcomes[OURS][name]) == ordered(expected)
    assert ordered(outcomes[STOCK][name]) != ordered(expected)
