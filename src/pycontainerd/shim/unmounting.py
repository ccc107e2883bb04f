"""Taking a root file system away while other containers of the shim are served."""

from __future__ import annotations

import errno

from pycontainerd.mounts.mounting import BUSY_ATTEMPTS, BUSY_DELAY_S, unmount_recursive
from pycontainerd.shim.loop import Loop


async def take_away(loop: Loop, target: str) -> None:
    """Takes every mount at and below *target*; waits for 2.5 s at most while one is busy. Raises OSError."""
    for attempt in range(BUSY_ATTEMPTS):
        try:
            unmount_recursive(target, attempts=1)
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == BUSY_ATTEMPTS - 1:
                raise
            await loop.sleep(BUSY_DELAY_S)
        else:
            return
