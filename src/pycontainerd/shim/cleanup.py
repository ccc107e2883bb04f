"""`containerd-shim-runc-v2 delete`: clears away what a shim has left, and says how its task ended.

The daemon runs it when a shim's connection is gone, whether the shim has died or had done its work. What is already
gone is no error. If the shim had recorded an exit, that is the answer; else the task is taken for killed.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import msgspec

from pycontainerd.mounts.mounting import unmount_recursive
from pycontainerd.shim import exit_record
from pycontainerd.shim import options as runc_options
from pycontainerd.shim.runc_root import DEFAULT_ROOT, state_directory
from pycontainerd.system.output import run

RUNC_S = 60.0


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """How the task ended, as far as is known, and what went wrong on the way."""

    pid: int
    status: int
    at_ns: int
    warnings: tuple[str, ...]


def clean_up(bundle: str, namespace: str, id_: str) -> CleanedUp:
    """Deletes the container *id_* from runc if it is still there, and unmounts its root file system."""
    warnings = []
    try:
        options = runc_options.read(bundle)
    except (OSError, msgspec.DecodeError) as error:
        warnings.append(f"options of {bundle}: {error}")
        options = runc_options.Options()
    root = os.path.join(options.root or DEFAULT_ROOT, namespace)
    if os.path.lexists(state_directory(root, id_)) or options.binary_name not in ("", "runc"):
        warnings += _delete(bundle, root, options, id_)
    try:
        unmount_recursive(os.path.join(bundle, "rootfs"))
    except OSError as error:
        warnings.append(f"unmount {bundle}/rootfs: {error}")
    record = exit_record.read(bundle).get(id_)
    if record is not None:
        return CleanedUp(record.pid, record.status, record.at_ns, tuple(warnings))
    return CleanedUp(_pid(bundle), 128 + signal.SIGKILL, time.time_ns(), tuple(warnings))


def _delete(bundle: str, root: str, options: runc_options.Options, id_: str) -> list[str]:
    program = options.binary_name or "runc"
    systemd = ["--systemd-cgroup"] if options.systemd_cgroup else []
    log = os.path.join(bundle, "log.json")
    command = [program, "--root", root, "--log", log, "--log-format", "json", *systemd, "delete", "--force", id_]
    try:
        done = run(command, merge=True, timeout_s=RUNC_S)
    except (OSError, TimeoutError) as error:
        return [f"{program} delete --force {id_}: {error}"]
    if done.status:
        return [f"{program} delete --force {id_}: exit status {done.status}: {done.stdout.decode(errors='replace')}"]
    return []


def _pid(bundle: str) -> int:
    try:
        with open(os.path.join(bundle, "init.pid"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
