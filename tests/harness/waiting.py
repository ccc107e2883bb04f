"""Waiting for what tells nobody that it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LIMIT_S: Final = 60


def until(happened: Callable[[], bool], what: str) -> None:
    """Returns once *happened* answers True; fails if that is not within a minute. *what* completes the message."""
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit, f"waited in vain until {what}"
        time.sleep(0.02)
