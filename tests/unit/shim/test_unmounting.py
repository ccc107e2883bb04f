"""A root file system that is busy is waited for, and the loop serves others meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pycontainerd.mounts.model import Mount
from pycontainerd.mounts.mounting import mount_all, unmount_all
from pycontainerd.shim import unmounting
from pycontainerd.shim.loop import Loop
from pycontainerd.system.mountinfo import mounts_below


def test_others_are_served_while_a_mount_is_busy(scratch: Path) -> None:
    target = str(scratch / "t")
    os.mkdir(target)
    mount_all([Mount("tmpfs", "tmpfs")], target)
    held = os.open(target, os.O_RDONLY)
    failures: list[BaseException] = []
    loop = Loop(lambda name, error: failures.append(error))

    async def let_go() -> None:
        os.close(held)

    async def main() -> None:
        loop.spawn(let_go(), name="let go")
        await unmounting.take_away(loop, target)

    loop.run(main())
    assert mounts_below(target) == []
    assert failures == []


def test_one_that_stays_busy_is_given_up(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = str(scratch / "t")
    os.mkdir(target)
    mount_all([Mount("tmpfs", "tmpfs")], target)
    monkeypatch.setattr(unmounting, "BUSY_DELAY_S", 0)
    loop = Loop(lambda name, error: None)
    refused: list[int | None] = []

    async def main() -> None:
        try:
            await unmounting.take_away(loop, target)
        except OSError as error:
            refused.append(error.errno)

    with open(f"{target}/file", "w"):
        loop.run(main())
    assert refused == [errno.EBUSY]
    unmount_all(target)
