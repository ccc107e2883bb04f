"""The events of the same doings, on our daemon with our shim and on stock's: the same topics in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.runtime.users import User
from tests.integration.tasks.house import Place


def doings(kind: Kind, base: Path, rootfs: Path) -> list[tuple[str, dict[str, Any]]]:
    """What a daemon tells while a user runs, enters, pauses, kills and removes; without what differs by nature."""
    with Daemon.start(kind, base) as daemon:
        user = User(daemon, rootfs)
        user.ctr("namespaces", "create", daemon.namespace)
        with user.events() as events:
            user.run("once", "/bin/sh", "-c", "exit 3", flags=("--rm", "--null-io"), check=False)
            user.detach("c")
            user.ctr("task", "exec", "--exec-id", "e", "c", "/bin/true")
            user.ctr("task", "pause", "c")
            user.ctr("task", "resume", "c")
            user.ctr("task", "kill", "-s", "9", "c")
            user.ctr("task", "attach", "c", check=False)
            user.ctr("containers", "rm", "c")
            return [(it.topic, plain(it.payload)) for it in events.until("/containers/delete", id="c")]


def plain(payload: dict[str, Any]) -> dict[str, Any]:
    """*payload* without pids, times and paths; that they are there stays."""
    varying = ("pid", "exited_at", "bundle", "options", "io")
    return {
        key: plain(value) if isinstance(value, dict) else "…" if key in varying else value
        for key, value in payload.items()
        if key not in varying
    } | {key: "…" for key in payload if key in varying}


def test_the_same_doings_are_told_alike(scratch: Path) -> None:
    rootfs = Place(scratch / "busybox", "unused").rootfs()
    ours = doings(OURS, scratch / "ours", rootfs)
    stock = doings(STOCK, scratch / "stock", rootfs)
    assert ours == stock
