"""Layers: the difference of two file trees as a tar stream, and how it becomes files.

Words: to *apply* a layer is to extract it onto mounts; its *diff id* is the digest of the plain tar stream; a
*whiteout* is an entry `.wh.NAME` that removes NAME of the layers below, an *opaque* one empties its directory. A
*differ* does it for the daemon; what reads the hostile stream is a *worker*, forked from the spawner and confined
before the first byte: it has no way out of the directory that it writes to (`confinement`).

The stream is parsed by plain functions of bytes (`tar`), inflated and hashed in threads beside (`plain`), and written
relative to descriptors (`extraction`).
"""
