"""What is wrong with an archive."""

from __future__ import annotations

from pycontainerd.errors import Unknown


class InvalidHeader(Unknown):
    """A header or a record that no archiver writes."""

    def __init__(self) -> None:
        super().__init__("archive/tar: invalid tar header")


class FieldTooLong(Unknown):
    """A record is longer than the reader allows."""

    def __init__(self) -> None:
        super().__init__("archive/tar: header field too long")


class MissingData(Unknown):
    """A sparse file's map names more data than there is."""

    def __init__(self) -> None:
        super().__init__("archive/tar: sparse file references non-existent data")


class UnreferencedData(Unknown):
    """A sparse file has data that its map doesn't name."""

    def __init__(self) -> None:
        super().__init__("archive/tar: sparse file contains unreferenced data")


class CutShort(Unknown):
    """The stream ends inside an entry."""

    def __init__(self) -> None:
        super().__init__("unexpected EOF")
