"""The states of a task, by number and by word."""

from __future__ import annotations

CREATED, RUNNING, STOPPED, PAUSED, PAUSING = 1, 2, 3, 4, 5

_WORDS = {CREATED: "CREATED", RUNNING: "RUNNING", STOPPED: "STOPPED", PAUSED: "PAUSED", PAUSING: "PAUSING"}


def status_word(status: int) -> str:
    """The word for *status*."""
    return _WORDS.get(status, "UNKNOWN")
