"""`containerd-shim-runc-v2 delete`: clears away what a shim has left, and says how its task ended.

The daemon runs it when a shim's connection is gone, whether the shim has died or had done its work. What is already
gone is no error, and if all is, little is loaded (see `wire`). If the shim had recorded an exit, that is the answer;
else the task is taken for killed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, Final, NamedTuple

from pycontainerd.shim import exit_record
from pycontainerd.shim.runc_root import DEFAULT_ROOT, state_directory

RUNC_S: Final = 60.0
RUNS: Final = 3
"""How often a runc that is killed is run: the container must not be left to itself."""


class CleanedUp(NamedTuple):
    """How the task ended, as far as is known, and what went wrong on the way."""

    pid: int
    status: int
    at_ns: int
    warnings: tuple[str, ...]


def clean_up(bundle: str, namespace: str, id_: str) -> CleanedUp:
    """Deletes the container *id_* from runc if it is still there, and unmounts its root file system."""
    warnings = []
    options: dict[str, Any] = {}
    try:
        options = _options(bundle)
    except (OSError, ValueError) as error:
        warnings.append(f"options of {bundle}: {error}")
    root = os.path.join(options.get("root") or DEFAULT_ROOT, namespace)
    if os.path.lexists(state_directory(root, id_)) or options.get("binary_name", "") not in ("", "runc"):
        warnings += _delete(bundle, root, options, id_)
    warnings += _unmount(os.path.join(bundle, "rootfs"))
    record = exit_record.read(bundle).get(id_)
    if record is not None:
        return CleanedUp(record.pid, record.status, record.at_ns, tuple(warnings))
    return CleanedUp(_pid(bundle), 128 + signal.SIGKILL, time.time_ns(), tuple(warnings))


def _options(bundle: str) -> dict[str, Any]:
    """What `options.json` and `runtime` say; see `options`. Raises ValueError for a file that is none."""
    options: dict[str, Any] = {}
    try:
        with open(os.path.join(bundle, "options.json"), "rb") as file:
            options = dict(json.loads(file.read() or b"{}"))
        if not options.get("binary_name"):
            with open(os.path.join(bundle, "runtime"), encoding="utf-8") as text:
                options["binary_name"] = text.read().strip()
    except FileNotFoundError:
        pass  # it died before it had any
    return options


def _delete(bundle: str, root: str, options: dict[str, Any], id_: str) -> list[str]:
    from pycontainerd.system.output import run

    program = options.get("binary_name") or "runc"
    systemd = ["--systemd-cgroup"] if options.get("systemd_cgroup") else []
    log = os.path.join(bundle, "log.json")
    command = [program, "--root", root, "--log", log, "--log-format", "json", *systemd, "delete", "--force", id_]
    try:
        done = run(command, merge=True, timeout_s=RUNC_S)
        for _ in range(RUNS - 1):
            if done.status > 128:
                done = run(command, merge=True, timeout_s=RUNC_S)
    except (OSError, TimeoutError) as error:
        return [f"{program} delete --force {id_}: {error}"]
    if done.status:
        return [f"{program} delete --force {id_}: exit status {done.status}: {done.stdout.decode(errors='replace')}"]
    return []


def _unmount(rootfs: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        if os.path.realpath(rootfs).replace(" ", "\\040") not in file.read():
            return []
    from pycontainerd.mounts.mounting import unmount_recursive

    try:
        unmount_recursive(rootfs)
    except OSError as error:
        return [f"unmount {rootfs}: {error}"]
    return []


def _pid(bundle: str) -> int:
    try:
        with open(os.path.join(bundle, "init.pid"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
