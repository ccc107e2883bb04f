"""What a child does between the fork and its role: forget everything that was the spawner's."""

from __future__ import annotations

import gc
import os
import resource
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from pycontainerd.spawner.messages import Setting
from pycontainerd.spawner.roles import Main
from pycontainerd.system.title import set_title

OOM_SCORE_LIMIT = 1000


def run(main: Main, setting: Setting, request: bytes, fds: Sequence[int]) -> NoReturn:
    """The whole life of a child. Never returns, whatever happens in *main*: the caller's stack is the spawner's."""
    status = 1
    try:
        own = reset(setting, fds)
        status = main(request, own)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:  # noqa: BLE001 - the last frame of this process: the error ends here, in what fd 2 is
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def reset(setting: Setting, fds: Sequence[int]) -> list[int]:
    """Gives this process the *setting*, a session of its own, and no descriptors but *fds*.

    Signals are as the spawner has them: all unblocked and default, but SIGPIPE, which Python ignores.
    """
    os.setsid()
    close_others(fds)
    if setting.environment is not None:
        set_environment(setting.environment)
    os.umask(setting.umask)
    os.chdir(setting.directory)
    for number, soft in setting.soft_limits.items():
        hard = resource.getrlimit(number)[1]
        resource.setrlimit(number, (soft, hard))
    if setting.oom_raise:
        raise_oom_score(setting.oom_raise)
    if setting.title:
        set_title(setting.title)
    gc.enable()
    return list(fds)


def close_others(kept: Sequence[int]) -> None:
    """Closes everything above stdio but *kept*. The spawner's stdio is /dev/null already."""
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def set_environment(environment: Mapping[str, str]) -> None:
    """Makes *environment* that of this process; what is equal already is not touched (15 microseconds each)."""
    for key in os.environ.keys() - environment.keys():
        del os.environ[key]
    for key, value in environment.items():
        if os.environ.get(key) != value:
            os.environ[key] = value


def raise_oom_score(by: int) -> None:
    """Makes the kernel prefer this process when memory is short; lowering would need CAP_SYS_RESOURCE."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        score = int(os.read(descriptor, 16))
        os.write(descriptor, b"%d" % min(OOM_SCORE_LIMIT, score + by))
    finally:
        os.close(descriptor)
