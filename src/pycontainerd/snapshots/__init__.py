"""Snapshots: states of a file system, each the child of another, active, committed or viewed.

An *active* snapshot can be written, a *view* only read; a *commit* makes an active one immutable, under a new name, and
children can grow on it. A snapshotter answers with *mounts*: what the caller has to mount to see the state.

Two layers, as in `content`: a *backend* (overlayfs, native, …) keeps directories and knows no namespaces; the *store*
gives each namespace its own view, and calls what a namespace calls `key` for the backend `<namespace>/<number>/<key>`.
Removing takes the namespace's row at once; the collector later takes backend snapshots that no row names, and then the
directories.

On disk, as containerd lays it: `<root>/io.containerd.snapshotter.v1.<id>/snapshots/<number>/…`. A directory is made
whole before its row, and goes after it, so that a crash leaves a directory without a row, which the collector takes.
"""
