"""The whole check of one root, while no daemon has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from pycontainerd.checking import mounts
from pycontainerd.checking.content import Content
from pycontainerd.checking.model import Finding, Tally, What
from pycontainerd.checking.snapshots import Snapshots
from pycontainerd.daemon.directories import RootLock
from pycontainerd.errors import FailedPrecondition, NotFound
from pycontainerd.metadata.failure import translated
from pycontainerd.metadata.guard import DATABASE, claimed
from pycontainerd.metadata.opening import open_reader, open_writer
from pycontainerd.metadata.schema import LATEST

METADATA: Final = "io.containerd.metadata.v1.bolt"
CONTENT: Final = "io.containerd.content.v1.content"
SNAPSHOTTER: Final = "io.containerd.snapshotter.v1."
SNAPSHOTTERS: Final = ("native", "overlayfs")
"""Those whose directories are ours to judge; a proxy's are elsewhere."""


@contextmanager
def opened(root: Path, *, writing: bool) -> Iterator[sqlite3.Connection]:
    """The metadata of *root*, which no daemon can take meanwhile.

    Raises NotFound if there is none, FailedPrecondition if a daemon has it or another version wrote it.
    """
    directory = root / METADATA
    if not (directory / DATABASE).exists():
        raise NotFound(f"metadata database {directory / DATABASE}")
    lock = RootLock(str(root))
    try:
        if not lock.take_nowait():
            raise FailedPrecondition(f"root {root} is in use by a daemon", hint="stop the daemon first", bare=True)
        with claimed(root, directory) as path, closing((open_writer if writing else open_reader)(path)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version != LATEST:
                raise FailedPrecondition(
                    f"metadata database {path} has schema version {version}, this program works on {LATEST}",
                    hint="start the daemon of the version that belongs to it",
                    bare=True,
                )
            yield connection
    finally:
        lock.close()


def check(root: Path, state: Path, connection: sqlite3.Connection, tally: Tally) -> Sequence[Finding]:
    """Everything that is wrong in *root* and with the mounts of *state*; *tally* counts what was looked at."""
    with translated(f"check root {root}"):
        damage = _damage(connection)
        if damage:
            # What such a database says of the disk is no ground to call anything an orphan.
            return [Finding(What.DATABASE, str(root / METADATA / DATABASE), text.replace("\n", " ")) for text in damage]
        findings = [*Content(root / CONTENT, connection).check(tally)]
        for name in SNAPSHOTTERS:
            findings += Snapshots(name, root / f"{SNAPSHOTTER}{name}", connection).check(tally)
    # Mounts first: what one of them holds can be removed when it is gone.
    return [*mounts.check(root, state, tally), *findings]


def _damage(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    try:
        return [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return [str(error)]
