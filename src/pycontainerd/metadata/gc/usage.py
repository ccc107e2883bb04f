"""What objects take on disk: each by itself, by image, and what would be freed."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from pycontainerd.metadata import kinds
from pycontainerd.metadata.gc.mark import find_dying

_ITEMS: Final = """
SELECT objects.id, owner.name, objects.kind, objects.name, blobs.digest, snapshots.snapshotter, snapshots.backend,
    coalesce(blobs.size, backend_snapshots.size, 0)
FROM objects
JOIN objects AS owner ON owner.id = objects.namespace
LEFT JOIN blobs ON blobs.id = objects.id
LEFT JOIN snapshots ON snapshots.id = objects.id
LEFT JOIN backend_snapshots
    ON backend_snapshots.snapshotter = snapshots.snapshotter AND backend_snapshots.key = snapshots.backend
WHERE objects.id IN (SELECT value FROM json_each(?))
"""
_UNMEASURED: Final = """
SELECT snapshots.snapshotter, snapshots.backend
FROM snapshots
LEFT JOIN backend_snapshots AS known ON known.snapshotter = snapshots.snapshotter AND known.key = snapshots.backend
WHERE known.kind IS NULL OR known.kind = 2
ORDER BY snapshots.id
"""
"""Active snapshots, and those that another program keeps."""

_STORED: Final = "SELECT id FROM objects WHERE kind = 'content' OR kind >= 'snapshots/' AND kind < 'snapshots0'"
_REACHED: Final = """
WITH RECURSIVE reached (id) AS (
    SELECT :id
UNION
    SELECT target.id
    FROM reached
    CROSS JOIN edges ON edges.owner = reached.id AND edges.back = 0
    CROSS JOIN objects AS target
        ON target.namespace = edges.namespace AND target.kind = edges.kind AND target.name = edges.name
    WHERE (edges.within_ns IS NULL AND edges.beyond_ns IS NULL)
       OR :now_ns - target.used_ns < edges.within_ns OR :now_ns - target.used_ns > edges.beyond_ns
UNION
    SELECT edges.owner
    FROM reached
    CROSS JOIN objects AS holder ON holder.id = reached.id
    CROSS JOIN edges INDEXED BY edges_back
        ON edges.namespace = holder.namespace AND edges.kind = holder.kind AND edges.name = holder.name
        AND edges.back = 1
)
SELECT id FROM reached
"""
_IMAGES: Final = """
SELECT images.id FROM images JOIN objects ON objects.id = images.id
JOIN objects AS owner ON owner.id = objects.namespace
WHERE (:namespace IS NULL OR owner.name = :namespace) AND objects.reserved = 0
ORDER BY owner.name, objects.name
"""


_NOTHING: Final[Mapping[str, int]] = {}


class Item(Struct, frozen=True):
    """An object. *place* is the same for those that share their bytes on disk; empty for those that have none."""

    namespace: str
    kind: str
    name: str
    place: str = ""
    size: int = 0


class ImageUsage(Struct, frozen=True):
    """Bytes of an image: its blobs, its snapshots, and of both what others keep as well, and what only it keeps."""

    image: Item
    compressed: int
    unpacked: int
    shared: int
    unique: int


class Usage(Struct, frozen=True):
    """Bytes of *images*, of all content and all snapshots, and what a collection would free."""

    images: Sequence[ImageUsage]
    content: int
    snapshots: int
    reclaimable: int


Measured = Mapping[str, int]
"""Bytes by place, of what is not counted in the database."""


def place_of(snapshotter: str, backend: str) -> str:
    """The place of what *snapshotter* calls *backend*."""
    return f"{snapshotter} {backend}"


def unmeasured(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The snapshots whose bytes must be asked for: their snapshotter, and what it calls them."""
    return connection.execute(_UNMEASURED).fetchall()


def items(connection: sqlite3.Connection, ids: Sequence[int], measured: Measured = _NOTHING) -> list[Item]:
    """The objects of *ids*, in that order, their bytes as *measured* or else as rows tell them."""
    found = {}
    for id_, namespace, kind, name, digest, snapshotter, backend, size in connection.execute(
        _ITEMS, (json.dumps(list(ids)),)
    ):
        place = digest or (place_of(snapshotter, backend) if snapshotter else "")
        found[id_] = Item(namespace, kind, name, place, measured.get(place, size))
    return [found[id_] for id_ in ids]


def dying(connection: sqlite3.Connection, now_ns: int, measured: Measured = _NOTHING) -> tuple[list[Item], int]:
    """What a collection would remove now, and how many bytes that would free on disk."""
    doomed = find_dying(connection, now_ns).ids
    stored = {id_ for (id_,) in connection.execute(_STORED)}
    left = {item.place for item in items(connection, sorted(stored - doomed))}
    going = items(connection, sorted(doomed), measured)
    going.sort(key=lambda item: (item.namespace, item.kind, item.name))
    return going, _bytes(item for item in going if item.place not in left)


def disk_usage(
    connection: sqlite3.Connection, namespace: str | None, now_ns: int, measured: Measured = _NOTHING
) -> Usage:
    """What the images of *namespace*, or of all for None, take, and everything together."""
    stored = [id_ for (id_,) in connection.execute(_STORED)]
    by_id = dict(zip(stored, items(connection, stored, measured), strict=True))
    images = [id_ for (id_,) in connection.execute(_IMAGES, {"namespace": None})]
    kept = {
        image: {
            by_id[id_].place: by_id[id_]
            for (id_,) in connection.execute(_REACHED, {"id": image, "now_ns": now_ns})
            if id_ in by_id
        }
        for image in images
    }
    keepers = Counter(place for places in kept.values() for place in places)
    asked = [id_ for (id_,) in connection.execute(_IMAGES, {"namespace": namespace})]
    everything = by_id.values()
    return Usage(
        [_image_usage(item, kept[id_], keepers) for id_, item in zip(asked, items(connection, asked), strict=True)],
        _bytes(item for item in everything if item.kind == kinds.CONTENT),
        _bytes(item for item in everything if item.kind != kinds.CONTENT),
        dying(connection, now_ns, measured)[1],
    )


def _image_usage(image: Item, kept: dict[str, Item], keepers: Counter[str]) -> ImageUsage:
    compressed = sum(item.size for item in kept.values() if item.kind == kinds.CONTENT)
    unpacked = sum(item.size for item in kept.values() if item.kind != kinds.CONTENT)
    unique = sum(item.size for place, item in kept.items() if keepers[place] == 1)
    return ImageUsage(image, compressed, unpacked, compressed + unpacked - unique, unique)


def _bytes(found: Iterable[Item]) -> int:
    """The bytes of *found*, each place once."""
    return sum({item.place: item.size for item in found}.values())
