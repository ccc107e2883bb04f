"""Input, output, terminals and signals between ctr and a process in a container."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import IMAGE
from tests.harness import peers
from tests.harness.daemon import OURS, STOCK, Daemon

PATIENCE_S = 30


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def daemon(request: pytest.FixtureRequest, session_base: Path, busybox_archive: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, session_base / f"ctr-io-{request.param}") as started:
        started.ctr("images", "import", busybox_archive)
        yield started


def run_words(daemon: Daemon, *words: str) -> list[str]:
    own = ["--fifo-dir", str(daemon.base / "fifo"), "--runc-root", str(daemon.base / "runc")]
    return [str(peers.ours("ctr")), "run", *own, *words]


@dataclass
class Screen:
    """Our ctr on a terminal of its own."""

    process: subprocess.Popen[bytes]
    master: int
    seen: str = field(default="")

    @classmethod
    @contextmanager
    def of(cls, daemon: Daemon, words: Sequence[str]) -> Iterator[Self]:
        master, slave = pty.openpty()
        set_size(master, 80, 24)
        process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=daemon.env(), start_new_session=True
        )
        os.close(slave)
        try:
            yield cls(process, master)
        finally:
            process.kill()
            process.wait()
            os.close(master)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> str:
        """Reads until *text* is on the screen; returns what came up to its end."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, until - time.monotonic()))
            assert ready, f"{text!r} does not come: {self.seen!r}"
            try:
                data = os.read(self.master, 4096)
            except OSError as error:
                raise AssertionError(f"{text!r} does not come, ctr has ended: {self.seen!r}") from error
            self.seen += data.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text


def set_size(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))


def test_a_terminal_has_our_size_and_follows_it(daemon: Daemon) -> None:
    with Screen.of(daemon, run_words(daemon, "--rm", "-t", IMAGE, "term", "sh")) as screen:
        screen.wait_for("# ")
        # The size is sent right after the start: the shell may be quicker than that.
        screen.type("until [ \"$(stty size)\" = '24 80' ]; do :; done; echo o'k'\r")
        screen.wait_for("ok\r\n")
        screen.wait_for("# ")
        set_size(screen.master, 132, 43)
        screen.process.send_signal(signal.SIGWINCH)
        screen.type("until [ \"$(stty size)\" = '43 132' ]; do :; done; tty; echo $TERM; echo do'ne'\r")
        assert "/dev/pts/0\r\nxterm\r\n" in screen.wait_for("done\r\n")
        screen.wait_for("# ")
        screen.type("exit 9\r")
        assert screen.process.wait(PATIENCE_S) == 9


def test_ctrl_c_in_a_terminal_goes_to_the_container(daemon: Daemon) -> None:
    with Screen.of(daemon, run_words(daemon, "--rm", "-t", IMAGE, "ctrlc", "sh")) as screen:
        screen.wait_for("# ")
        # Sums, so that what is typed doesn't look like what is printed.
        screen.type(
            "sh -c \"trap 'echo caught-$((6*7)); exit' INT; echo wait-$((6*7)); while :; do sleep 0.05; done\"\r"
        )
        screen.wait_for("wait-42\r\n")
        screen.type("\x03")
        screen.wait_for("caught-42")
        screen.wait_for("# ")
        screen.type("exit 0\r")
        assert screen.process.wait(PATIENCE_S) == 0


def test_the_terminal_is_restored(daemon: Daemon) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    words = run_words(daemon, "--rm", "-t", IMAGE, "restore", "true")
    done = subprocess.run(words, stdin=slave, stdout=slave, stderr=slave, env=daemon.env(), check=False)
    assert done.returncode == 0
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_a_terminal_without_one_is_an_error_not_a_crash(daemon: Daemon) -> None:
    result = daemon.run("--rm", "-t", IMAGE, "none", "true", by=OURS, check=False)
    assert result.code == 1
    assert "none of standard input, output and error is a terminal" in result.err
    assert "none" not in daemon.ctr("containers", "ls", "-q").lines


def test_an_exec_has_a_terminal_of_its_own(daemon: Daemon) -> None:
    daemon.run("-d", "--null-io", IMAGE, "ptyexec", "sleep", "1000")
    words = [str(peers.ours("ctr")), "tasks", "exec", "-t", "--exec-id", "e", "--fifo-dir", str(daemon.base / "fifo")]
    with Screen.of(daemon, [*words, "ptyexec", "sh"]) as screen:
        screen.wait_for("# ")
        screen.type("tty; exit 4\r")
        screen.wait_for("/dev/pts/0")
        assert screen.process.wait(PATIENCE_S) == 4
    daemon.ctr("tasks", "rm", "-f", "ptyexec", by=OURS)
    daemon.ctr("containers", "rm", "ptyexec", by=OURS)


def test_what_is_typed_before_the_end_reaches_the_container(daemon: Daemon) -> None:
    sent = os.urandom(3 << 20)
    words = run_words(daemon, "--rm", IMAGE, "cat", "cat")
    done = subprocess.run(words, input=sent, capture_output=True, env=daemon.env(), timeout=PATIENCE_S * 2, check=False)
    assert (done.returncode, len(done.stdout)) == (0, len(sent))
    assert done.stdout == sent


def test_no_input_at_all_ends_the_container_s(daemon: Daemon) -> None:
    words = run_words(daemon, "--rm", IMAGE, "nothing", "sh", "-c", "cat; exit 6")
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, env=daemon.env(), timeout=60, check=False
    )
    assert done.returncode == 6


def test_a_closed_standard_input_is_an_empty_one(daemon: Daemon) -> None:
    words = run_words(daemon, "--rm", IMAGE, "closed", "sh", "-c", "cat; exit 6")
    line = " ".join(f"'{word}'" for word in words) + " <&-"
    done = subprocess.run(["sh", "-c", line], capture_output=True, env=daemon.env(), timeout=60, check=False)
    assert done.returncode == 6


def test_output_is_whole_when_its_reader_is_slow(daemon: Daemon) -> None:
    words = run_words(daemon, "--rm", IMAGE, "slow", "sh", "-c", "head -c 1000000 /dev/zero; echo end >&2")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=daemon.env()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        size = 0
        while data := os.read(process.stdout.fileno(), 1000):
            size += len(data)
        assert (size, process.wait(PATIENCE_S)) == (1_000_000, 0)
        assert process.stderr.read().endswith(b"end\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGTSTP])
def test_a_signal_to_us_is_forwarded(daemon: Daemon, number: signal.Signals) -> None:
    script = f"trap 'exit 42' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    words = run_words(daemon, "--rm", IMAGE, "signals", "sh", "-c", script)
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=daemon.env()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert code_after(number, process) == 42


def code_after(number: signal.Signals, process: subprocess.Popen[bytes]) -> int:
    """Sends a signal until *process* ends: a shell that is about to fork can lose one."""
    for _ in range(PATIENCE_S):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(1)
    process.kill()
    raise AssertionError(f"{number.name} did not end it")


def test_attach_sees_the_output_and_returns_the_code(daemon: Daemon) -> None:
    """What runs detached writes into fifos; whoever attaches reads them."""
    daemon.run("-d", IMAGE, "att", "sh", "-c", "read line; echo got $line; exit 5", by=OURS)
    words = [str(peers.ours("ctr")), "tasks", "attach", "att"]
    done = subprocess.run(words, input=b"it\n", capture_output=True, env=daemon.env(), timeout=60, check=False)
    assert (done.stdout, done.returncode) == (b"got it\n", 5)
    assert "att" not in daemon.ctr("tasks", "ls", "-q").lines
    daemon.ctr("containers", "rm", "att", by=OURS)


def test_attach_to_a_stopped_task_returns_its_code(daemon: Daemon) -> None:
    daemon.run("-d", IMAGE, "stopped", "sh", "-c", "exit 3", by=OURS)
    until = time.monotonic() + PATIENCE_S
    while "STOPPED" not in daemon.ctr("tasks", "ls").out:
        assert time.monotonic() < until
    assert daemon.ctr("tasks", "attach", "stopped", by=OURS, check=False).code == 3
    daemon.ctr("containers", "rm", "stopped", by=OURS)


def test_no_fifo_is_left(daemon: Daemon) -> None:
    fifos = daemon.base / "fifo"
    before = set(fifos.iterdir()) if fifos.exists() else set()
    daemon.run("--rm", IMAGE, "tidy", "true", by=OURS)
    daemon.run("--rm", IMAGE, "tidy", "nosuch", by=OURS, check=False)
    daemon.run("-d", IMAGE, "tidy", "sleep", "1000", by=OURS)
    daemon.ctr("tasks", "exec", "--fifo-dir", fifos, "--exec-id", "e", "tidy", "true", by=OURS)
    daemon.ctr("tasks", "rm", "-f", "tidy", by=OURS)
    daemon.ctr("containers", "rm", "tidy", by=OURS)
    assert set(fifos.iterdir()) == before
