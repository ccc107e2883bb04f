"""What nothing needs: one question to the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from pycontainerd.metadata.gc.order import Dying, ordered

_UNREACHED: Final = """
WITH RECURSIVE live (state) AS (
    SELECT 2 * id + (root = 2) FROM objects
    WHERE (root <> 0 OR reserved <> 0) AND (reserved <> 0 OR expires_ns IS NULL OR expires_ns > :now_ns)
UNION
    SELECT 2 * target.id + (live.state & 1)
    FROM live
    CROSS JOIN edges ON edges.owner = live.state >> 1 AND edges.back = 0 AND edges.flat >= live.state & 1
    CROSS JOIN objects AS target
        ON target.namespace = edges.namespace AND target.kind = edges.kind AND target.name = edges.name
    WHERE (edges.within_ns IS NULL AND edges.beyond_ns IS NULL)
       OR :now_ns - target.used_ns < edges.within_ns OR :now_ns - target.used_ns > edges.beyond_ns
UNION
    SELECT 2 * edges.owner
    FROM live
    CROSS JOIN objects AS holder ON holder.id = live.state >> 1 AND live.state & 1 = 0
    CROSS JOIN edges INDEXED BY edges_back
        ON edges.namespace = holder.namespace AND edges.kind = holder.kind AND edges.name = holder.name
        AND edges.back = 1
)
SELECT id, 2 * id + 1 IN (SELECT state FROM live) FROM objects
WHERE kind NOT IN ('namespaces', 'containers', 'sandboxes') AND 2 * id NOT IN (SELECT state FROM live)
"""
"""Ids that no root reaches whole, and whether one reaches them flat: they stay, but what they need may go.

A state is an object's id, doubled, and 1 where it is reached flat: one number is found faster than two.
"""

_NEEDS: Final = """
SELECT edges.owner, target.id
FROM json_each(:ids) AS some
CROSS JOIN edges ON edges.owner = some.value AND edges.back = 0
CROSS JOIN objects AS target
    ON target.namespace = edges.namespace AND target.kind = edges.kind AND target.name = edges.name
UNION ALL
SELECT holder.id, edges.owner
FROM json_each(:ids) AS some
CROSS JOIN edges ON edges.owner = some.value AND edges.back = 1
CROSS JOIN objects AS holder
    ON holder.namespace = edges.namespace AND holder.kind = edges.kind AND holder.name = edges.name
"""

_CHUNK: Final = 500


def find_dying(connection: sqlite3.Connection, now_ns: int) -> Dying:
    """All objects that no root reaches at *now_ns*, in the order in which they may be deleted."""
    ids: set[int] = set()
    flat: set[int] = set()
    for id_, is_flat in connection.execute(_UNREACHED, {"now_ns": now_ns}):
        (flat if is_flat else ids).add(id_)
    return ordered(ids, _needs(connection, ids), flat)


def _needs(connection: sqlite3.Connection, ids: Collection[int]) -> Iterator[tuple[int, int]]:
    """Pairs of *ids* of which the first needs, or holds, the second."""
    rest = iter(ids)
    while chunk := list(islice(rest, _CHUNK)):
        for needing, needed in connection.execute(_NEEDS, {"ids": json.dumps(chunk)}):
            if needing in ids and needed in ids:
                yield needing, needed
