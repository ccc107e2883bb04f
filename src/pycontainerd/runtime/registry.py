"""Which shims the daemon has, by namespace and id, and which ids are taken: by tasks that are just being made, and by
those of an earlier daemon whose shims can't be reached yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pycontainerd.errors import AlreadyExists, NotFound, Unavailable
from pycontainerd.runtime.shim import Shim


class Registry:
    """The shims by namespace and id."""

    def __init__(self) -> None:
        self._shims: dict[str, dict[str, Shim]] = {}
        self._reserved: set[tuple[str, str]] = set()
        self._unreached: set[tuple[str, str]] = set()

    def is_taken(self, namespace: str, id_: str) -> bool:
        """Whether a task or a sandbox has *id_*, or gets it."""
        return (namespace, id_) in self._reserved or id_ in self._shims.get(namespace, {})

    @contextmanager
    def reserved(self, namespace: str, id_: str) -> Iterator[None]:
        """Keeps *id_* for the caller while the block runs. Raises AlreadyExists if a task has it or gets it."""
        key = (namespace, id_)
        if self.is_taken(namespace, id_):
            raise AlreadyExists(f"task {id_}")
        self._reserved.add(key)
        try:
            yield
        finally:
            self._reserved.discard(key)

    @contextmanager
    def unreached(self, namespace: str, id_: str) -> Iterator[None]:
        """Reserves *id_* while its shim, which may live, is being dialled."""
        with self.reserved(namespace, id_):
            self._unreached.add((namespace, id_))
            try:
                yield
            finally:
                self._unreached.discard((namespace, id_))

    def add(self, shim: Shim) -> None:
        self._shims.setdefault(shim.namespace, {})[shim.id] = shim

    def remove(self, shim: Shim) -> None:
        """Forgets *shim*, unless its id belongs to another by now."""
        shims = self._shims.get(shim.namespace, {})
        if shims.get(shim.id) is shim:
            del shims[shim.id]
            if not shims:
                del self._shims[shim.namespace]

    def holds(self, shim: Shim) -> bool:
        return self._shims.get(shim.namespace, {}).get(shim.id) is shim

    def get(self, namespace: str, id_: str) -> Shim:
        """The shim of task *id_*. Raises NotFound, with the bare text that clients of the original get; Unavailable."""
        shim = self.find(namespace, id_)
        if shim is None:
            if (namespace, id_) in self._unreached:
                raise Unavailable(f"task {id_}: its shim takes no connection yet")
            raise NotFound(f"task {id_} not found", bare=True)
        return shim

    def find(self, namespace: str, id_: str) -> Shim | None:
        """The shim of task *id_*, if there is one."""
        return self._shims.get(namespace, {}).get(id_)

    def of_namespace(self, namespace: str) -> list[Shim]:
        return list(self._shims.get(namespace, {}).values())

    def __iter__(self) -> Iterator[Shim]:
        return iter([shim for shims in self._shims.values() for shim in shims.values()])
