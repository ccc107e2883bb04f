"""The plain stream of a layer: inflated in one thread, hashed in another, parsed in the caller's.

Inflating, hashing and system calls release the interpreter's lock, so that the three run at once. Few pieces are ever
in flight: memory stays bounded whatever the stream inflates to.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from pycontainerd.diff.compression import Read, plain_pieces

_IN_FLIGHT: Final = 8

_Item = bytes | BaseException | None
"""A piece; or how the stream ended: None if well."""


class PlainStream:
    """Iterates over the pieces. When they are at an end, `digest` and `size` hold for all of them.

    Leaving the block early ends the threads, as soon as a read that is under way returns.
    """

    def __init__(self, read: Read, *, sniff: bool) -> None:
        self._pieces = plain_pieces(read, sniff=sniff)
        self._to_parse: queue.Queue[_Item] = queue.Queue(_IN_FLIGHT)
        self._to_hash: queue.Queue[bytes | None] = queue.Queue(_IN_FLIGHT)
        self._hash = hashlib.sha256()
        self._stopped = False
        self.size = 0
        self._threads = (
            threading.Thread(target=self._inflate, name="inflate", daemon=True),
            threading.Thread(target=self._digest, name="hash", daemon=True),
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        while self._threads[0].is_alive():
            try:
                self._to_parse.get(timeout=0.05)
            except queue.Empty:
                continue
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            item = self._to_parse.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item

    def digest(self) -> str:
        """The SHA-256 of the whole stream, `sha256:…`, once the iteration is over."""
        self._threads[1].join()
        return f"sha256:{self._hash.hexdigest()}"

    def _inflate(self) -> None:
        ending: BaseException | None = None
        try:
            for piece in self._pieces:
                if self._stopped:
                    break
                self.size += len(piece)
                self._to_hash.put(piece)
                self._to_parse.put(piece)
        except BaseException as error:  # noqa: BLE001 - raised again by who iterates
            ending = error
        finally:
            self._to_hash.put(None)
            self._to_parse.put(ending)

    def _digest(self) -> None:
        while (piece := self._to_hash.get()) is not None:
            self._hash.update(piece)
