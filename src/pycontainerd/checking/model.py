"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class What(StrEnum):
    """The kinds of findings. What a crash may leave is an orphan; the rest is damage."""

    DATABASE = "damaged database"
    BROKEN_BLOB = "broken blob"
    MISSING_BLOB = "missing blob"
    ORPHANED_BLOB = "orphaned blob"
    ORPHANED_INGEST = "orphaned ingest"
    MISSING_SNAPSHOT = "missing snapshot"
    UNNAMED_SNAPSHOT = "unnamed snapshot"
    ORPHANED_SNAPSHOT = "orphaned snapshot"
    ORPHANED_MOUNT = "orphaned mount"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    *size* is what it takes of the disk, in bytes. *mend* puts it right and raises OSError or an `errors.Error`; None
    if nothing but a person can, or if it is in use, as *reason* says.
    """

    what: What
    name: str
    reason: str
    size: int = 0
    mend: Callable[[], None] | None = field(default=None, compare=False)


@dataclass(slots=True)
class Tally:
    """How much was looked at."""

    blobs: int = 0
    blob_bytes: int = 0
    ingests: int = 0
    snapshots: int = 0
    mounts: int = 0
