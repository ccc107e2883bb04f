"""What all steps of one transfer share: in whose name it is done, what holds what it makes, who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycontainerd.transfer.progress import Progress

if TYPE_CHECKING:
    from pycontainerd.transfer.seams import Content


@dataclass(frozen=True, slots=True)
class Context:
    """One transfer in *namespace*; *lease* holds what it makes."""

    namespace: str
    lease: str
    content: Content
    progress: Progress
