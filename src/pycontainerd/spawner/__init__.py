"""The warm process (a zygote) that all our other processes are forked from, and how it is asked.

Words: the *spawner* has imported and run once what its *children* do, so that a fork is ready at once and shares its
pages; a *role* names what a child does (`roles`); a *shim* is a child that nobody here waits for: its parent is init,
or the nearest subreaper; a *worker* stays the spawner's child, which reports its exit status. A *setting* is what a
child finds of environment, directory, title.

On disk, in the socket directory: `spawner-<key>`, a socket 0600 that a starter binds and listens on before it executes
the spawner, so that it can be asked while it still warms up; and `spawner-<key>.lock`, locked by who starts or leaves.
A spawner ends when it had neither a connection nor a worker for a minute. One that was killed leaves its socket, which
refuses connections then; the next request replaces it.
"""
