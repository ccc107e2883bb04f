"""Blobs, named by their digest, and the ingests that become blobs.

A *blob* is bytes that never change. An *ingest* is a blob in the making: a writer opens it by a *ref* that it chose,
appends, and commits; one that is left can be resumed. The *backend* (`local`) keeps both on disk and knows no
namespaces; the *store* gives each namespace its own view, which lies in the database.

On disk, below the plugin's root, as containerd lays it:

    blobs/<algorithm>/<hex>         0444; whole, since data is synced before the rename and the directory after it
    ingest/<sha256 of the ref>/     data, ref, startedat, updatedat, total

Commit: data synced, renamed to `blobs/`, directory synced, then the row. A crash before the row leaves a blob that no
row names; the collector takes it. Delete: the row, then, by the collector, the file.
"""
