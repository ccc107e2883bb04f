"""What a process gives up: capabilities, system calls, the life after somebody else."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from pycontainerd.system import capabilities, seccomp
from pycontainerd.system.openat2 import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2


def python(script: str) -> list[str]:
    """The lines that a Python of its own prints: what it gives up is gone for good."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_dropped_capabilities_are_gone_from_every_set() -> None:
    script = """
from pycontainerd.system import capabilities as c
c.keep_only([c.CAP_CHOWN, c.CAP_FOWNER])
print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')), sep='\\n')
"""
    kept = 1 << capabilities.CAP_CHOWN | 1 << capabilities.CAP_FOWNER
    inheritable, permitted, effective, bounding, ambient = (int(line, 16) for line in python(script))
    assert (inheritable, permitted, effective, ambient) == (0, kept, kept, 0)
    assert bounding & ~kept & capabilities.effective() == 0


def test_denied_calls_fail_with_their_number_and_threads_still_start() -> None:
    script = """
import errno, os, socket, threading
from pycontainerd.system import seccomp
seccomp.install(seccomp.program({'socket': errno.EACCES, 'execve': errno.EPERM}, threads_only=True))
for attempt in (socket.socket, os.fork, lambda: os.execv('/bin/true', ['true'])):
    try:
        attempt()
    except OSError as error:
        print(errno.errorcode[error.errno])
thread = threading.Thread(target=print, args=('thread',))
thread.start()
thread.join()
print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('Seccomp:', 'NoNewPrivs'))])
"""
    assert python(script) == ["EACCES", "EPERM", "EPERM", "thread", "['1', '2']"]


def test_a_machine_without_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(OSError, match="vax") as error:
        seccomp.program({}, threads_only=False)
    assert error.value.errno == errno.ENOSYS


def test_who_watches_a_pipe_ends_when_it_is_closed() -> None:
    read, write = os.pipe()
    script = f"""
import signal
from pycontainerd.system.deathpipe import die_with
die_with({read})
print('watching', flush=True)
while True: pass
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, pass_fds=[read]) as child:
        os.close(read)
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        os.close(write)
        assert child.wait(30) == -9


def test_who_comes_too_late_to_watch_ends_at_once() -> None:
    read, write = os.pipe()
    os.close(write)
    script = f"from pycontainerd.system.deathpipe import die_with; die_with({read}); print('alive')"
    done = subprocess.run([sys.executable, "-c", script], pass_fds=[read], capture_output=True, check=False)
    os.close(read)
    assert (done.returncode, done.stdout) == (-9, b"")


def test_openat2_stays_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root" / "up").symlink_to("../secret")
    (tmp_path / "root" / "absolute").symlink_to("/secret")
    root = os.open(tmp_path / "root", os.O_PATH)
    try:
        for path in ("up", "../secret", "absolute"):
            with pytest.raises(OSError, match=path) as error:
                openat2(root, path, os.O_RDONLY, RESOLVE_BENEATH)
            assert error.value.errno == errno.EXDEV
            with pytest.raises(FileNotFoundError):
                openat2(root, path, os.O_RDONLY, RESOLVE_IN_ROOT)
        with pytest.raises(OSError, match="up") as error:
            openat2(root, "up", os.O_RDONLY, RESOLVE_NO_SYMLINKS)
        assert error.value.errno == errno.ELOOP
        made = openat2(root, "new", os.O_CREAT | os.O_WRONLY, RESOLVE_BENEATH, mode=0o600)
        assert select.select([], [made], [])[1] == [made]
        os.close(made)
    finally:
        os.close(root)
    assert (tmp_path / "root" / "new").exists()
