"""Starting foreign programs without forking the caller's memory; see posix_spawn(3).

A fork of a daemon copies its page tables and stalls its loop (9 to 13 ms at 60 MB). glibc's posix_spawn shares the
memory until the exec instead, 0.8 ms, and the interpreter's lock is free meanwhile. A *death_signal* needs code between
fork and exec; with it the process is forked, which only a small process without threads (a shim) should do.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final, NoReturn, Self

from msgspec import Struct

from pycontainerd.system import pidfd as pidfds
from pycontainerd.system import prctl
from pycontainerd.system.libc import failure_of, libc

DEVNULL: Final = -3
"""For stdin, stdout or stderr: /dev/null, which is also the default."""

POSIX_SPAWN_SETPGROUP: Final = 0x02
POSIX_SPAWN_SETSIGDEF: Final = 0x04
POSIX_SPAWN_SETSIGMASK: Final = 0x08
POSIX_SPAWN_SETSID: Final = 0x80

_OPAQUE_SIZE: Final = 512
"""More than any libc's posix_spawn_file_actions_t (80 bytes) and posix_spawnattr_t (336)."""


class _Setting(Struct, frozen=True):
    """What a child finds when it begins."""

    placed: Mapping[int, int]
    cwd: str | None
    environment: Mapping[str, str]
    new_session: bool
    new_group: bool


_spawnp: Final = libc.posix_spawnp
_add_dup2: Final = libc.posix_spawn_file_actions_adddup2
_add_open: Final = libc.posix_spawn_file_actions_addopen
_add_close: Final = libc.posix_spawn_file_actions_addclose
_add_chdir: Final = libc.posix_spawn_file_actions_addchdir_np
_add_closefrom: Final = getattr(libc, "posix_spawn_file_actions_addclosefrom_np", None)
"""glibc 2.34. Without it descriptors that this process inherited (its own are all close-on-exec) reach the child."""


class Process(Struct):
    """A child of ours. Its owner reaps it and closes the descriptor; leaving the block kills what still runs."""

    pid: int
    pidfd: int
    status: int | None = None
    """The exit status, 128 + signal if one ended it, once it was reaped."""

    def fileno(self) -> int:
        """The pidfd: readable when the process has ended."""
        return self.pidfd

    def poll(self) -> int | None:
        """The exit status if it has ended; reaps it. Never blocks."""
        if self.status is None:
            self.status = pidfds.reap_nowait(self.pidfd)
        return self.status

    def wait_blocking(self) -> int:
        """Waits for the end of the process: its exit status."""
        if self.status is None:
            self.status = pidfds.reap(self.pidfd)
        return self.status

    async def wait(self, readable: Callable[[int], Awaitable[None]]) -> int:
        """Waits by the caller's driver: *readable* returns when the descriptor that it is given is readable."""
        while (status := self.poll()) is None:
            await readable(self.pidfd)
        return status

    def signal(self, number: int) -> None:
        """Sends a signal; nothing happens if the process has ended."""
        if self.status is None:
            pidfds.send_signal(self.pidfd, number)

    def close(self) -> None:
        """Forgets the process; one that still runs is killed and reaped."""
        if self.pidfd < 0:
            return
        if self.poll() is None:
            self.signal(signal.SIGKILL)
            self.wait_blocking()
        os.close(self.pidfd)
        self.pidfd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start(
    arguments: Sequence[str],
    *,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    stderr: int = DEVNULL,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    place_fds: Mapping[int, int] | None = None,
    new_session: bool = False,
    new_group: bool = False,
    death_signal: int = 0,
) -> Process:
    """Starts a program; the child has *stdin*, *stdout*, *stderr*, *pass_fds* under their numbers and no others.

    *place_fds* names further descriptors by the number that they have in the child: `{3: listening}`. The program is
    looked up in PATH, signals are all default and unblocked. Raises OSError with the program's name if it can't be
    executed (FileNotFoundError, PermissionError), or with *cwd* missing.
    """
    placed = {0: stdin, 1: stdout, 2: stderr} | {fd: fd for fd in pass_fds} | dict(place_fds or {})
    environment = os.environ if env is None else env
    with ExitStack() as stack:
        setting = _Setting(_out_of_the_way(placed, stack), cwd, environment, new_session, new_group)
        pid = _fork_exec(arguments, setting, death_signal) if death_signal else _posix_spawn(arguments, setting)
    return Process(pid, pidfds.of_child(pid))


def _out_of_the_way(placed: dict[int, int], stack: ExitStack) -> dict[int, int]:
    """The same placing, with sources that another target would overwrite copied above all targets."""
    above = max(placed) + 1
    free = {}
    for target, source in placed.items():
        free[target] = source
        if source != target and source in placed:
            free[target] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
            stack.callback(os.close, free[target])
    return free


def _posix_spawn(arguments: Sequence[str], setting: _Setting) -> int:
    actions = ctypes.create_string_buffer(_OPAQUE_SIZE)
    attributes = ctypes.create_string_buffer(_OPAQUE_SIZE)
    signals = ctypes.create_string_buffer(128)
    program = os.fsencode(arguments[0])
    pid = ctypes.c_int()
    with ExitStack() as stack:
        _call(libc.posix_spawn_file_actions_init, actions)
        stack.callback(libc.posix_spawn_file_actions_destroy, actions)
        _call(libc.posix_spawnattr_init, attributes)
        stack.callback(libc.posix_spawnattr_destroy, attributes)
        _place(actions, setting.placed)
        if setting.cwd is not None:
            _call(_add_chdir, actions, os.fsencode(setting.cwd))
        flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        flags |= POSIX_SPAWN_SETSID if setting.new_session else POSIX_SPAWN_SETPGROUP if setting.new_group else 0
        _call(libc.posix_spawnattr_setflags, attributes, ctypes.c_short(flags))
        libc.sigemptyset(signals)
        _call(libc.posix_spawnattr_setsigmask, attributes, signals)
        # Not by sigfillset: it leaves out the two that the C library uses, and posix_spawn then ignores them.
        ctypes.memset(signals, 0xFF, len(signals))
        _call(libc.posix_spawnattr_setsigdefault, attributes, signals)
        argv = _strings([os.fsencode(argument) for argument in arguments])
        envp = _strings([os.fsencode(f"{key}={value}") for key, value in setting.environment.items()])
        number = _spawnp(ctypes.byref(pid), program, actions, attributes, argv, envp)
    if number:
        raise _not_started(number, arguments[0], setting.cwd)
    return pid.value


def _place(actions: ctypes.Array[ctypes.c_char], placed: Mapping[int, int]) -> None:
    for target, source in placed.items():
        if source == DEVNULL:
            _call(_add_open, actions, target, b"/dev/null", os.O_RDWR, 0)
        else:
            _call(_add_dup2, actions, source, target)
    highest = max(placed)
    for gap in set(range(highest)) - placed.keys():
        _call(_add_close, actions, gap)
    if _add_closefrom is not None:
        _call(_add_closefrom, actions, highest + 1)


def _call(function: Callable[..., int], *arguments: object) -> None:
    """Calls one of posix_spawn's helpers: they return error numbers."""
    number = function(*arguments)
    if number:
        raise failure_of(number)


def _strings(values: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    if any(b"\0" in value for value in values):
        raise ValueError("an argument or variable of a program contains a NUL")
    return (ctypes.c_char_p * (len(values) + 1))(*values, None)


def _not_started(number: int, program: str, cwd: str | None) -> OSError:
    """posix_spawn tells one number for all it did; the likely culprit is named."""
    if cwd is not None and not os.path.isdir(cwd):
        return failure_of(number, cwd)
    return failure_of(number, program)


def _fork_exec(arguments: Sequence[str], setting: _Setting, death_signal: int) -> int:
    report_read, report_write = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            try:
                report_write = _above(report_write, max(setting.placed))
                prctl.set_parent_death_signal(death_signal)
                if os.getppid() != parent:
                    os._exit(127)
                _exec(arguments, setting)
            except OSError as error:
                os.write(report_write, str(error.errno).encode())
            finally:
                os._exit(127)
        os.close(report_write)
        report_write = -1
        report = os.read(report_read, 16)
    finally:
        os.close(report_read)
        if report_write >= 0:
            os.close(report_write)
    if report:
        os.waitpid(pid, 0)
        raise _not_started(int(report), arguments[0], setting.cwd)
    return pid


def _above(descriptor: int, highest: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, highest + 1)


def _exec(arguments: Sequence[str], setting: _Setting) -> NoReturn:
    if setting.new_session:
        os.setsid()
    elif setting.new_group:
        os.setpgid(0, 0)
    placed = setting.placed
    null = _above(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), max(placed))
    for target, source in placed.items():
        if source == target:
            os.set_inheritable(target, True)
        else:
            os.dup2(null if source == DEVNULL else source, target)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in placed:
            _close_on_exec(int(name))
    if setting.cwd is not None:
        os.chdir(setting.cwd)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvpe(arguments[0], list(arguments), dict(setting.environment))  # noqa: S606 - a shell is what we avoid


def _close_on_exec(descriptor: int) -> None:
    with suppress(OSError):  # the one that listed the directory is gone
        os.set_inheritable(descriptor, False)
