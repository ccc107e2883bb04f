"""The metadata of everything that the daemon keeps: one SQLite file, one writer, and the collector.

Words: an *object* is a row of `objects`: a namespace, image, container, blob, ingest, snapshot or lease; its
*kind* is the word that leases use (`content`, `images`, `snapshots/overlayfs`). An *edge* says that one object
needs another, by name, since the other may come later. A *root* lives by itself. A *reserved* object is being made:
nobody sees it yet, the collector leaves it alone, and one that a crash left is gone at the next start.

Stores write through `Database.write` and read through `Database.reading`; they own no connection. On disk:
`<root>/io.containerd.metadata.v1.bolt/meta.sqlite` (with `-wal` and `-shm`), and beside it a `meta.db` that keeps the
original off this root.
"""
