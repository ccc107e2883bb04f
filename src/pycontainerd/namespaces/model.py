"""What namespaces are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace."""

    name: str
    labels: Mapping[str, str]
