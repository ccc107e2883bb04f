"""What images are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from pycontainerd.content.model import Digest
from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata import labels
from pycontainerd.quoting import quote


class Target(Struct, frozen=True):
    """What an image points at: a manifest or an index. *size* is in bytes."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)


class Image(Struct, frozen=True):
    """One image. Times are nanoseconds since 1970 UTC, in any year.

    *wire* is the message that the image was read from, if any: what in it no field here stands for, survives.
    """

    name: str
    target: Target
    labels: Mapping[str, str] = field(default_factory=dict)
    created_ns: int = 0
    updated_ns: int = 0
    wire: bytes = b""

    def check(self) -> None:
        """Raises InvalidArgument, with the original's words, for what can't be stored."""
        if not self.name:
            raise InvalidArgument("image name must not be empty")
        labels.validate(self.labels, "image.Labels")
        try:
            Digest.parse(self.target.digest)
        except InvalidArgument as error:
            raise error.within(f"target.Digest {quote(self.target.digest)} invalid") from None
        if self.target.size <= 0:
            raise InvalidArgument("target.Size must be greater than zero")
        if not self.target.media_type:
            raise InvalidArgument("target.MediaType must be set")

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The value at *path* for a filter, and whether it is present."""
        match path:
            case ["name", *_]:
                return self.name, bool(self.name)
            case ["target", "digest", *_]:
                return self.target.digest, bool(self.target.digest)
            case ["target", "mediatype", *_]:
                return self.target.media_type, bool(self.target.media_type)
            case ["labels", *rest]:
                return _entry(self.labels, rest)
            case ["annotations", *rest]:
                return _entry(self.target.annotations, rest)
            case _:
                return "", False


def _entry(entries: Mapping[str, str], path: Sequence[str]) -> tuple[str, bool]:
    key = ".".join(path)
    return entries.get(key, ""), key in entries
