"""Where all threads and tasks of the daemon are, for SIGUSR1."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import tempfile
import threading
import traceback
from typing import Final

_LOG: Final = logging.getLogger(__name__)


def dump(loop: asyncio.AbstractEventLoop) -> None:
    """Writes the stacks to the log and to `<tmp>/containerd.<pid>.stacks.log`."""
    text = stacks(loop)
    _LOG.info("=== BEGIN stack dump ===\n%s\n=== END stack dump ===", text)
    path = os.path.join(tempfile.gettempdir(), f"containerd.{os.getpid()}.stacks.log")
    try:
        # Others may write to the directory: a link that waits there under this name is not followed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        _LOG.error("failed to write the stack dump to %s: %s", path, error)
    else:
        _LOG.info("stack dump written to %s", path)


def stacks(loop: asyncio.AbstractEventLoop) -> str:
    """The stacks of all threads, then those of all tasks of *loop*."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    out = io.StringIO()
    for number, frame in sys._current_frames().items():
        out.write(f"thread {number} {names.get(number, '')}\n")
        traceback.print_stack(frame, file=out)
        out.write("\n")
    for task in asyncio.all_tasks(loop):
        out.write(f"task {task.get_name()}\n")
        task.print_stack(file=out)
        out.write("\n")
    return out.getvalue()
