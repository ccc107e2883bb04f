"""Writing down what writers touch while a collection runs: triggers and a table of the writer's connection alone.

They are temporary, so nothing of them is ever on disk, and a crash leaves none.
"""

from __future__ import annotations

from typing import Final

from pycontainerd.metadata.transaction import Transaction

_BEGIN: Final = (
    "CREATE TEMP TABLE touched (id INTEGER PRIMARY KEY)",
    """CREATE TEMP TRIGGER watch_made AFTER INSERT ON main.objects
    BEGIN INSERT OR IGNORE INTO touched VALUES (new.id); END""",
    """CREATE TEMP TRIGGER watch_root AFTER UPDATE OF root, expires_ns, used_ns, reserved, name ON main.objects
    BEGIN INSERT OR IGNORE INTO touched VALUES (new.id); END""",
    """CREATE TEMP TRIGGER watch_edge AFTER INSERT ON main.edges
    BEGIN INSERT OR IGNORE INTO touched VALUES (new.owner); END""",
    """CREATE TEMP TRIGGER watch_changed_edge AFTER UPDATE ON main.edges
    BEGIN INSERT OR IGNORE INTO touched VALUES (new.owner); END""",
)
_END: Final = (
    "DROP TRIGGER IF EXISTS temp.watch_made",
    "DROP TRIGGER IF EXISTS temp.watch_root",
    "DROP TRIGGER IF EXISTS temp.watch_edge",
    "DROP TRIGGER IF EXISTS temp.watch_changed_edge",
    "DROP TABLE IF EXISTS temp.touched",
)


def begin(tx: Transaction) -> None:
    """Writes down from the end of this operation on."""
    for statement in (*_END, *_BEGIN):
        tx.execute(statement)


def end(tx: Transaction) -> None:
    """Stops writing down."""
    for statement in _END:
        tx.execute(statement)


def take(tx: Transaction) -> list[int]:
    """The ids of all objects touched since the last time."""
    touched = [id_ for (id_,) in tx.execute("SELECT id FROM temp.touched")]
    if touched:
        tx.execute("DELETE FROM temp.touched")
    return touched
