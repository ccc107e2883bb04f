"""Five hundred containers of eight clients, while daemon, spawner, shims and runc are killed: see `storm`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.storm.plan import Plan
from tests.faults.storm.run import storm

SEED = 20
CONTAINERS = 500


def test_every_client_sees_the_code_of_its_container_and_nothing_is_left(scratch: Path, busybox_archive: Path) -> None:
    verdict = asyncio.run(storm(scratch / "d", busybox_archive, Plan.make(SEED, CONTAINERS)))
    assert verdict.wrong == []
    assert verdict.left == {}
    assert sum(verdict.killed.values()) > CONTAINERS // 12, verdict.killed
