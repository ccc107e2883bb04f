"""What all steps of one transfer share: in whose name it is done, what holds what it makes, who hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pycontainerd.transfer.progress import Progress

if TYPE_CHECKING:
    from pycontainerd.transfer.seams import Content


class Context(Struct, frozen=True):
    """One transfer in *namespace*; *lease* holds what it makes."""

    namespace: str
    lease: str
    content: Content
    progress: Progress
