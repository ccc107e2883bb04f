"""What keeps an object: the way back from it to the roots, over the edges that the mark follows forward."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.gc.usage import Item, items
from pycontainerd.metadata.references import ROOT, Edge, meaning

_STATE = tuple[int, bool]
"""An object, and whether it lives flat: by itself, but not what it needs."""

_NEEDING: Final = """
SELECT owner.id, edges.flat
FROM objects AS target
CROSS JOIN edges ON edges.namespace = target.namespace AND edges.kind = target.kind AND edges.name = target.name
    AND edges.back = 0
CROSS JOIN objects AS owner ON owner.id = edges.owner
WHERE target.id = :id AND ((edges.within_ns IS NULL AND edges.beyond_ns IS NULL)
    OR :now_ns - target.used_ns < edges.within_ns OR :now_ns - target.used_ns > edges.beyond_ns)
"""
_HOLDING: Final = """
SELECT holder.id
FROM edges
CROSS JOIN objects AS holder
    ON holder.namespace = edges.namespace AND holder.kind = edges.kind AND holder.name = edges.name
WHERE edges.owner = :id AND edges.back = 1
"""
_ROOTS: Final = """
SELECT id, root, reserved, expires_ns FROM objects
WHERE id IN (SELECT value FROM json_each(?)) AND (root <> 0 OR reserved <> 0)
"""
_FIND: Final = """
SELECT objects.id FROM objects
JOIN objects AS owner ON owner.id = objects.namespace AND owner.namespace = 0 AND owner.name = :namespace
WHERE objects.reserved = 0 AND (:kind = '' OR objects.kind = :kind)
  AND (objects.name = :name
       OR objects.kind = 'content' AND length(:name) > 7 AND objects.name >= :name AND objects.name < :name || 'g')
ORDER BY objects.kind <> 'images', objects.kind, objects.name
"""

_ORIGIN: Final = """
SELECT origin FROM edges WHERE owner = ? AND back = 0 AND kind = ? AND name = ? ORDER BY origin = 'label'
"""

_BY_ORIGIN: Final = {
    "target": "target",
    "parent": "parent",
    "snapshot": "root file system",
    "lease": "resource",
    "owned": "opened with it",
    "expected": "expected content",
}


class Link(Struct, frozen=True):
    """One step of a chain: *item*, and by what it keeps the next."""

    item: Item
    by: str


class Explanation(Struct, frozen=True):
    """What keeps *item*: a chain from one of its *roots*, the one that lasts longest. No chain: nothing does."""

    item: Item
    chain: Sequence[Link] = ()
    root: str = ""
    expires_ns: int | None = None
    roots: int = 0


def explain(connection: sqlite3.Connection, namespace: str, kind: str, name: str, now_ns: int) -> list[Explanation]:
    """The objects of *name* (a whole name, or the beginning of a digest) in *namespace*, images first.

    *kind* empty means any.
    """
    arguments = {"namespace": namespace, "kind": kind, "name": name}
    found = [id_ for (id_,) in connection.execute(_FIND, arguments)]
    return [_explained(connection, id_, now_ns) for id_ in found]


def _explained(connection: sqlite3.Connection, id_: int, now_ns: int) -> Explanation:
    came: dict[_STATE, _STATE | None] = {(id_, False): None, (id_, True): None}
    order = list(came)
    for state in order:  # grows while it is walked
        for before in _before(connection, state, now_ns):
            if before not in came:
                came[before] = state
                order.append(before)
    best = _best_root(connection, order, now_ns)
    (item,) = items(connection, [id_])
    if best is None:
        return Explanation(item)
    state, expires_ns, roots = best
    states: list[_STATE] = []
    step: _STATE | None = state
    while step is not None:
        states.append(step)
        step = came[step]
    return Explanation(item, _links(connection, states), _root_words(connection, state[0]), expires_ns, roots)


def _before(connection: sqlite3.Connection, state: _STATE, now_ns: int) -> Iterator[_STATE]:
    """The states that make *state* live, if they do."""
    id_, is_flat = state
    for owner, edge_is_flat in connection.execute(_NEEDING, {"id": id_, "now_ns": now_ns}):
        if edge_is_flat or not is_flat:
            yield owner, is_flat
    if not is_flat:
        for (holder,) in connection.execute(_HOLDING, {"id": id_}):
            yield holder, False


def _best_root(
    connection: sqlite3.Connection, states: Sequence[_STATE], now_ns: int
) -> tuple[_STATE, int | None, int] | None:
    """The root that lasts longest, the nearest of those; until when; and how many there are."""
    rows = connection.execute(_ROOTS, (json.dumps(sorted({id_ for id_, _ in states})),)).fetchall()
    facts = {id_: (root, reserved, expires_ns) for id_, root, reserved, expires_ns in rows}
    living: list[tuple[_STATE, int | None]] = []
    for state in states:
        root, reserved, expires_ns = facts.get(state[0], (0, 0, None))
        is_past = expires_ns is not None and expires_ns <= now_ns and not reserved
        if (root or reserved) and not is_past and state[1] == (root == 2):
            living.append((state, None if reserved else expires_ns))
    if not living:
        return None
    best = max(living, key=lambda each: float("inf") if each[1] is None else each[1])
    return *best, len(living)


def _links(connection: sqlite3.Connection, states: Sequence[_STATE]) -> list[Link]:
    ids = [id_ for id_, _ in states]
    by_id = dict(zip(ids, items(connection, ids), strict=True))
    links = []
    for id_, next_id in zip(ids, [*ids[1:], None], strict=True):
        by = "" if next_id is None else _by(connection, id_, next_id, by_id)
        links.append(Link(by_id[id_], by))
    return links


def _by(connection: sqlite3.Connection, owner: int, target: int, by_id: dict[int, Item]) -> str:
    """By which label, or as what, *owner* keeps *target*."""
    row = connection.execute(_ORIGIN, (owner, by_id[target].kind, by_id[target].name)).fetchone()
    if row is not None and row[0] != objects.LABELS:
        return _BY_ORIGIN.get(row[0], str(row[0]))
    if row is not None:
        return f"label {_label(connection, owner, by_id[owner].kind, by_id[target], back=False)}"
    return f"label {_label(connection, target, by_id[target].kind, by_id[owner], back=True)} of what it keeps"


def _label(connection: sqlite3.Connection, owner: int, kind: str, other: Item, *, back: bool) -> str:
    """The first label of *owner* that means an edge to *other*."""
    for key, value in labels.read(connection, owner).items():
        for edge in meaning(kind, {key: value}).edges:
            if Edge(edge.kind, edge.name, edge.back) == Edge(other.kind, other.name, back):
                return key
    return "?"


def _root_words(connection: sqlite3.Connection, id_: int) -> str:
    kind, reserved = connection.execute("SELECT kind, reserved FROM objects WHERE id = ?", (id_,)).fetchone()
    if reserved:
        return "being made"
    said = labels.read(connection, id_)
    marked = next((key for key in said if key.startswith(ROOT)), None)
    if marked is not None and kind not in (kinds.IMAGES, kinds.CONTAINERS, kinds.SANDBOXES, kinds.LEASES):
        return f"label {marked}"
    return {
        kinds.IMAGES: "image",
        kinds.CONTAINERS: "container",
        kinds.SANDBOXES: "sandbox",
        kinds.LEASES: "lease",
        kinds.INGESTS: "ingest under way",
    }.get(kind, "root")
