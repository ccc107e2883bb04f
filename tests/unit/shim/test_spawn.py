"""Programs that a shim starts: what they get, how they fail, and when they die; by each of the ways."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from pycontainerd.shim import spawn
from pycontainerd.shim.spawn import Tie

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "KEY": "value"}
TIE = spawn.find_tie()
WAYS = [pytest.param(None, id="free"), pytest.param((), id="forked"), pytest.param(TIE, id="tied")]


def is_open(number: int) -> bool:
    return os.path.lexists(f"/proc/self/fd/{number}")


def output_of(script: str, tie: Tie | None) -> tuple[str, int]:
    """What a shell prints that has a pipe as 1, and its status."""
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = spawn.start(["/bin/sh", "-c", script], {0: null, 1: write, 2: null}, ENVIRONMENT, tie)
    finally:
        os.close(write)
        os.close(null)
    with open(read, encoding="utf-8") as file:
        text = file.read()
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("tie", WAYS)
def test_a_program_gets_its_descriptors_and_environment_and_nothing_else(tie: Tie | None) -> None:
    text, status = output_of('echo "$KEY"; ls /proc/self/fd | wc -w; exit 5', tie)
    # 0, 1, 2, the one that ls reads the directory by, and those that were meant for every child of the test
    inherited = sum(os.get_inheritable(number) for number in range(3, 1024) if is_open(number))
    assert (text.split(), status) == (["value", str(4 + inherited)], 5)


@pytest.mark.parametrize("tie", WAYS)
def test_no_signal_is_ignored_in_it(tie: Tie | None) -> None:
    text, _ = output_of("grep SigIgn /proc/self/status", tie)
    assert int(text.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_descriptors_may_change_places() -> None:
    first_read, first = os.pipe2(os.O_CLOEXEC)
    second_read, second = os.pipe2(os.O_CLOEXEC)
    for tie in (None, ()):
        placed = {0: first_read, 1: second, 2: first, first_read: second_read}
        pid = spawn.start(["/bin/sh", "-c", "echo one >&2; echo two"], placed, ENVIRONMENT, tie)
        assert os.waitpid(pid, 0)[1] == 0
        assert (os.read(first_read, 100), os.read(second_read, 100)) == (b"one\n", b"two\n")
    for fd in (first_read, first, second_read, second):
        os.close(fd)


@pytest.mark.parametrize("tie", [None, ()], ids=["free", "forked"])
@pytest.mark.parametrize(("content", "mode", "kind"), [("", 0o644, PermissionError), ("#!/nowhere", 0o755, OSError)])
def test_what_can_not_be_executed_is_an_error(
    tmp_path: Path, tie: Tie | None, content: str, mode: int, kind: type[OSError]
) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(mode)
    with pytest.raises(kind):
        spawn.start([str(program)], {}, ENVIRONMENT, tie)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("tie", WAYS)
def test_only_what_is_tied_dies_with_its_parent(tie: Tie | None) -> None:
    read, write = os.pipe2(os.O_CLOEXEC)
    hold, held = os.pipe2(os.O_CLOEXEC)
    parent = os.fork()
    if not parent:
        # "ready" is written by the program itself: by then the tie stands.
        pid = spawn.start(["/bin/sh", "-c", "echo ready; exec sleep 1000"], {1: write, 3: held}, ENVIRONMENT, tie)
        os.write(write, b"%d " % pid)
        signal.pause()
    os.close(held)
    os.close(write)
    said = b""
    while b"ready" not in said or len(said.split()) < 2:
        said += os.read(read, 100)
    child = next(int(word) for word in said.split() if word.isdigit())
    descriptor = os.pidfd_open(child)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    if tie is None:
        assert not select.select([descriptor], [], [], 0)[0]
        os.kill(child, signal.SIGKILL)
    assert select.select([descriptor], [], [], 30)[0]
    assert os.read(hold, 1) == b""
    for fd in (descriptor, read, hold):
        os.close(fd)


def test_this_machine_has_a_tie() -> None:
    assert TIE[1:] == ("--pdeathsig", "KILL", "--")
