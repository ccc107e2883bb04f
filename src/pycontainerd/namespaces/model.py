"""What namespaces are made of."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Namespace(Struct, frozen=True):
    """One namespace."""

    name: str
    labels: Mapping[str, str]
