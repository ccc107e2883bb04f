"""The tables, as numbered migrations. A migration, once released, never changes.

    objects ─┬─ labels           what clients said of it
             ├─ edges            what it needs, or what needs it: by labels, parent, target, lease
             ├─ images ── annotations
             ├─ containers
             ├─ sandboxes
             ├─ mounts           activations; `directory` is where they are mounted
             ├─ blobs            per namespace; the bytes lie once on disk
             ├─ ingests
             └─ snapshots        per namespace; `backend` names a row of the snapshotter
    backend_snapshots ── backend_labels     what overlayfs, native, … know of their directories
    sequences                               counters that never go back

Deleting an object deletes what hangs below it. Ids of objects are never reused, so that an id that the collector
remembers can't come to mean something else.

    objects.namespace   the id of the namespace's object; 0 for namespaces themselves
    objects.reserved    1 while its backend is at work; invisible, kept by the collector; dropped at the next start
    objects.root        0 lives by what needs it, 1 lives by itself, 2 does too, but only what it names lives by it
    objects.expires_ns  when a root stops being one
    objects.used_ns     when its clients say that it was used last
    edges.back          0: the owner needs what is named; 1: what is named holds the owner
    edges.flat          1: followed as well where only the named object is to live
    edges.within_ns     if this or the next is set, the edge holds only while what is named was used less than so long
    edges.beyond_ns     ago, or more than so long ago
    blobs.wire          what a listing sends of the object, whole but for what only its backend knows; kept in step with
    snapshots.wire      the columns and labels. NULL in rows of earlier versions, and while an object is reserved

Times are nanoseconds since 1970 UTC, clamped to 64 bits. Texts compare by bytes, as listings are sorted.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x70796344
"""In the header of our files, so that somebody else's database is refused."""

_OBJECTS: Final = """
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    reserved INTEGER NOT NULL DEFAULT 0,
    root INTEGER NOT NULL DEFAULT 0,
    expires_ns INTEGER,
    UNIQUE (namespace, kind, name)
) STRICT;
CREATE INDEX objects_roots ON objects (id) WHERE root <> 0 OR reserved <> 0;
CREATE INDEX objects_expiring ON objects (expires_ns) WHERE expires_ns IS NOT NULL;

CREATE TABLE labels (
    owner INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE edges (
    owner INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    back INTEGER NOT NULL DEFAULT 0,
    flat INTEGER NOT NULL DEFAULT 0,
    namespace INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (owner, origin, back, kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_named ON edges (namespace, kind, name, back);
"""

_THINGS: Final = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    target_digest TEXT NOT NULL,
    target_media_type TEXT NOT NULL,
    target_size INTEGER NOT NULL,
    wire BLOB NOT NULL
) STRICT;

CREATE TABLE annotations (
    owner INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE containers (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    image TEXT NOT NULL,
    runtime TEXT NOT NULL,
    snapshotter TEXT NOT NULL,
    snapshot_key TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    wire BLOB NOT NULL
) STRICT;

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL
) STRICT;
CREATE INDEX blobs_by_digest ON blobs (digest);

CREATE TABLE ingests (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    backend TEXT NOT NULL UNIQUE,
    expected TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX ingests_by_expected ON ingests (expected) WHERE expected <> '';

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    snapshotter TEXT NOT NULL,
    backend TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    UNIQUE (snapshotter, backend)
) STRICT;
"""

_BACKENDS: Final = """
CREATE TABLE backend_snapshots (
    snapshotter TEXT NOT NULL,
    id INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    parent INTEGER,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    inodes INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (snapshotter, id),
    UNIQUE (snapshotter, key),
    FOREIGN KEY (snapshotter, parent) REFERENCES backend_snapshots (snapshotter, id)
) STRICT;
CREATE INDEX backend_snapshots_by_parent ON backend_snapshots (snapshotter, parent) WHERE parent IS NOT NULL;

CREATE TABLE backend_labels (
    snapshotter TEXT NOT NULL,
    id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (snapshotter, id, key),
    FOREIGN KEY (snapshotter, id) REFERENCES backend_snapshots (snapshotter, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (
    scope TEXT NOT NULL,
    namespace TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (scope, namespace)
) STRICT, WITHOUT ROWID;
"""

_SANDBOXES: Final = """
CREATE TABLE sandboxes (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    wire BLOB NOT NULL
) STRICT;
"""

_CONDITIONS: Final = """
ALTER TABLE objects ADD COLUMN used_ns INTEGER;
ALTER TABLE edges ADD COLUMN within_ns INTEGER;
ALTER TABLE edges ADD COLUMN beyond_ns INTEGER;
"""

_MOUNTS: Final = """
CREATE TABLE mounts (
    id INTEGER PRIMARY KEY REFERENCES objects (id) ON DELETE CASCADE,
    directory INTEGER NOT NULL UNIQUE,
    wire BLOB NOT NULL
) STRICT;
"""

_LISTINGS: Final = """
ALTER TABLE blobs ADD COLUMN wire BLOB;
ALTER TABLE snapshots ADD COLUMN wire BLOB;
"""

_BACK: Final = """
CREATE INDEX edges_back ON edges (namespace, kind, name) WHERE back = 1;
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    _OBJECTS + _THINGS + _BACKENDS,
    _SANDBOXES + _CONDITIONS + _MOUNTS,
    _LISTINGS + _BACK,
)
"""Number n of this tuple, counted from 1, leads from version n - 1 to n (`PRAGMA user_version`)."""

LATEST: Final = len(MIGRATIONS)
