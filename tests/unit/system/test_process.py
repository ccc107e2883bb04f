"""Starting programs: what the kernel says of the child, and how failures read."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pycontainerd.system import output, pidfd, process

KINDS = pytest.mark.parametrize("death_signal", [0, signal.SIGTERM], ids=["posix_spawn", "fork"])


def run(death_signal: int, script: str, **options: object) -> tuple[int, bytes]:
    """The status and the output of a shell script."""
    read, write = os.pipe()
    with (
        os.fdopen(read, "rb") as out,
        process.start(
            ["sh", "-c", script],
            stdout=write,
            death_signal=death_signal,
            **options,  # type: ignore[arg-type]
        ) as child,
    ):
        os.close(write)
        said = out.read()
        return child.wait_blocking(), said


@KINDS
def test_the_status_of_a_signal_is_told_as_shells_do(death_signal: int) -> None:
    assert run(death_signal, "exit 3")[0] == 3
    assert run(death_signal, "kill -9 $$")[0] == 137


@KINDS
def test_a_child_has_the_descriptors_that_were_named_and_no_others(death_signal: int, tmp_path: Path) -> None:
    stray = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(stray, True)
    first, second = (os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in "ab")
    try:
        # Each takes the other's number: neither may be lost on the way.
        status, said = run(
            death_signal,
            f"readlink /proc/$$/fd/{first} /proc/$$/fd/{second} /proc/$$/fd/40; ls /proc/$$/fd",
            place_fds={first: second, second: first, 40: first},
        )
    finally:
        for descriptor in (stray, first, second):
            os.close(descriptor)
    assert status == 0
    lines = said.decode().splitlines()
    assert lines[:3] == [f"{tmp_path}/b", f"{tmp_path}/a", f"{tmp_path}/a"]
    assert {int(line) for line in lines[3:]} == {0, 1, 2, first, second, 40}


@KINDS
def test_directory_environment_and_session_are_as_asked(death_signal: int, tmp_path: Path) -> None:
    script = 'pwd; env; test "$(ps -o sid= -p $$ | tr -d " ")" = $$ && echo leader'
    _, said = run(death_signal, script, cwd=str(tmp_path), env={"PATH": os.environ["PATH"], "A": "b"}, new_session=True)
    lines = said.decode().splitlines()
    assert lines[0] == str(tmp_path)
    assert "A=b" in lines
    assert "leader" in lines


@KINDS
def test_signals_are_default_and_unblocked(death_signal: int) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ignored = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        _, said = run(death_signal, "grep -E '^Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGUSR2, ignored)
    assert [int(line.split()[1], 16) for line in said.decode().splitlines()] == [0, 0]


@KINDS
def test_what_can_not_be_executed_is_named(death_signal: int, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        process.start(["no-such-program"], death_signal=death_signal)
    assert error.value.filename == "no-such-program"
    with pytest.raises(FileNotFoundError) as error:
        process.start(["true"], cwd=str(tmp_path / "gone"), death_signal=death_signal)
    assert error.value.filename == str(tmp_path / "gone")
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(PermissionError):
        process.start([str(plain)], death_signal=death_signal)


def test_leaving_the_block_kills_and_reaps() -> None:
    with process.start(["sleep", "1000"]) as child:
        pid = child.pid
    assert child.status == 137
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_forked_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os\nfrom pycontainerd.system import process\n"
        "child = process.start(['sleep', '1000'], death_signal=9)\nprint(child.pid, flush=True)\nos._exit(0)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    with pytest.raises(ProcessLookupError):
        wait_until_gone(int(said))


def wait_until_gone(pid: int) -> None:
    """Waits for the end of a process that isn't ours, then asks for it once more."""
    descriptor = os.pidfd_open(pid)
    try:
        select.select([descriptor], [], [], 30)
    finally:
        os.close(descriptor)
    state = Path(f"/proc/{pid}/stat")
    if state.exists() and state.read_text().rpartition(") ")[2].startswith("Z"):
        raise ProcessLookupError(pid)
    os.kill(pid, 0)


@pytest.fixture
def large() -> bytes:
    return bytes(range(256)) * 4096


def test_output_is_collected_while_input_is_fed(large: bytes) -> None:
    done = output.run(["sh", "-c", "cat; echo said >&2; exit 2"], stdin=large)
    assert (done.status, done.stdout, done.stderr, done.cut) == (2, large, b"said\n", False)


def test_output_may_be_merged_and_is_cut_at_the_limit(large: bytes) -> None:
    assert output.run(["sh", "-c", "echo a; echo b >&2"], merge=True).stdout == b"a\nb\n"
    done = output.run(["cat"], stdin=large, limit=1000)
    assert (done.stdout, done.cut) == (large[:1000], True)


def test_a_program_that_reads_nothing_is_no_failure(large: bytes) -> None:
    assert output.run(["true"], stdin=large).status == 0


def test_who_leaves_its_output_open_is_not_waited_for() -> None:
    done = output.run(["sh", "-c", "sleep 1000 & echo $!"])
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.status == 0


def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(TimeoutError):
        output.run(["sleep", "1000"], timeout_s=0.05)


def test_a_child_that_can_not_be_watched_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    before = children()
    monkeypatch.setattr(pidfd, "open_pidfd", refuse)
    with pytest.raises(OSError, match="too many open files"):
        process.start(["sleep", "1000"])
    assert children() == before


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
