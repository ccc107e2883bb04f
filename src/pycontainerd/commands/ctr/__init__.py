"""ctr, the command line for containerd: same commands and output as the original.

A *command* is an entry of `table` and a module that the entry names; `app` finds it, `context` is what it
gets. The command lines are clients like any other: everything they know of the daemon comes through
`pycontainerd.client`. People put ctr into loops, so what a command doesn't use, it doesn't load.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def _open_standard_streams(os: Any) -> None:
    """Opens those of descriptors 0 to 2 that are closed: what we open ourselves must not become one of them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def main() -> NoReturn:
    """The program `ctr`. Ends the process with the exit code of the command."""
    import gc
    import os
    import signal

    _open_standard_streams(os)
    # Ctrl-C ends a client as it ends any program; what it held ends with its lease.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    from pycontainerd.commands.ctr.app import run

    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    # Nothing is left to do: taking the interpreter apart would cost as long as a call.
    os._exit(code)
