"""Writing down what backends keep that lost a row: so a collection looks at that, and not at all that is on disk.

As in `watch`, triggers and table are temporary: after a crash a backend is asked for all that it has.
"""

from __future__ import annotations

from typing import Final

from pycontainerd.metadata.transaction import Transaction

_BEGIN: Final = (
    "CREATE TEMP TABLE IF NOT EXISTS freed (kind TEXT, name TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID",
    """CREATE TEMP TRIGGER IF NOT EXISTS freed_blob AFTER DELETE ON main.blobs
    BEGIN INSERT OR IGNORE INTO freed VALUES ('content', old.digest); END""",
    """CREATE TEMP TRIGGER IF NOT EXISTS freed_share AFTER DELETE ON main.ingests WHEN old.expected <> ''
    BEGIN INSERT OR IGNORE INTO freed VALUES ('content', old.expected); END""",
    """CREATE TEMP TRIGGER IF NOT EXISTS freed_other_share AFTER UPDATE OF expected ON main.ingests
    WHEN old.expected <> '' AND old.expected <> new.expected
    BEGIN INSERT OR IGNORE INTO freed VALUES ('content', old.expected); END""",
    """CREATE TEMP TRIGGER IF NOT EXISTS freed_snapshot AFTER DELETE ON main.snapshots
    BEGIN INSERT OR IGNORE INTO freed VALUES ('snapshots/' || old.snapshotter, old.backend); END""",
)


def begin(tx: Transaction) -> None:
    """Writes down from the end of this operation on, if it doesn't yet."""
    for statement in _BEGIN:
        tx.execute(statement)


def take(tx: Transaction) -> dict[str, list[str]]:
    """By kind, what backends call that of which a row went since the last time; other rows may still name it."""
    found: dict[str, list[str]] = {}
    for kind, name in tx.execute("SELECT kind, name FROM temp.freed"):
        found.setdefault(kind, []).append(name)
    tx.execute("DELETE FROM temp.freed")
    return found
