"""The collector: takes from the database what nothing needs, and then from the disk what the database doesn't name.

A run has four steps, and stops no reader and no writer:

1. `watch`: from here on, triggers write down the id of every object that is made, becomes a root or gets an edge.
2. `mark`: one recursive query in a read transaction finds what roots do not reach: the *dying*.
3. `sweep`: small write transactions delete the dying, those that need others before those that are needed, so that
   what is left is always whole. Each transaction first takes out of the dying what became needed since the mark:
   all that is reached from what the triggers wrote down, for a new image may need a chain that was dead when marked.
4. Backends (blobs on disk, snapshotters) remove what no row names any more.
"""
