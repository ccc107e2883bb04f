"""Deleting the dying, batch by batch, and taking back those that became needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from pycontainerd.metadata.gc import watch
from pycontainerd.metadata.gc.order import Dying
from pycontainerd.metadata.transaction import Transaction

_NEEDED_BY: Final = """
SELECT target.id
FROM edges
CROSS JOIN objects AS target
    ON target.namespace = edges.namespace AND target.kind = edges.kind AND target.name = edges.name
WHERE edges.owner = :id AND edges.back = 0
UNION ALL
SELECT edges.owner
FROM objects AS holder
CROSS JOIN edges INDEXED BY edges_back
    ON edges.namespace = holder.namespace AND edges.kind = holder.kind AND edges.name = holder.name AND edges.back = 1
WHERE holder.id = :id
"""

_DELETE: Final = """
DELETE FROM objects WHERE id = ?
RETURNING (SELECT name FROM objects AS owner WHERE owner.id = objects.namespace), kind, name
"""


class Removed(Struct, frozen=True):
    """An object that the collector deleted."""

    namespace: str
    kind: str
    name: str


def sweep(tx: Transaction, dying: Dying, batch: Sequence[int]) -> list[Removed]:
    """Deletes those of *batch* that are still dying."""
    spare(tx, dying, watch.take(tx))
    removed = []
    for id_ in batch:
        if id_ in dying.ids:
            dying.ids.discard(id_)
            removed += [Removed(*row) for row in tx.execute(_DELETE, (id_,)).fetchall()]
    return removed


def spare(tx: Transaction, dying: Dying, touched: Sequence[int]) -> None:
    """Takes out of *dying* what was *touched* and all that it needs or holds.

    What lived whole when marked needs nothing that is dying, but for what was touched: so the walk stops there. What
    lived flat may, and is walked once.
    """
    waiting = list(touched)
    while waiting:
        id_ = waiting.pop()
        dying.ids.discard(id_)
        dying.flat.discard(id_)
        for (needed,) in tx.execute(_NEEDED_BY, {"id": id_}):
            for doubtful in (dying.ids, dying.flat):
                if needed in doubtful:
                    doubtful.discard(needed)
                    waiting.append(needed)
