"""The image store as a destination: under which names an image is stored, and with which labels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from pycontainerd.clock import Clock
from pycontainerd.content.times import format_ns
from pycontainerd.errors import AlreadyExists, NotFound
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata.times import NS
from pycontainerd.oci.image import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor, Platform
from pycontainerd.transfer.context import Context
from pycontainerd.transfer.seams import Images

LABEL_EXPIRE: Final = "containerd.io/gc.expire"
LABEL_KEPT_BY: Final = "containerd.io/gc.bref.image"


class Reference(Struct, frozen=True):
    """A further name, or what names begin with."""

    name: str
    is_prefix: bool = False
    allow_overwrite: bool = False
    add_digest: bool = False
    skip_named_digest: bool = False

    def names(self, annotations: Mapping[str, str], digest: str) -> Iterator[str]:
        """The names that a prefix gives a manifest of an archive."""
        name = self._name(annotations)
        if name:
            yield name
        if self.add_digest and not (name and self.skip_named_digest):
            yield f"{self.name}@{digest}"

    def _name(self, annotations: Mapping[str, str]) -> str:
        full = annotations.get(ANNOTATION_IMAGE_NAME, "")
        if full:
            # A full name stays as it is, or is not used at all.
            return full if self._under_prefix(full) == full else ""
        short = annotations.get(ANNOTATION_REF_NAME, "")
        return self._under_prefix(short) if short else ""

    def _under_prefix(self, name: str) -> str:
        """What becomes of *name*: a bare tag is put behind the prefix; empty if it is not allowed."""
        if not self.name:
            return ""
        if not any(character in name for character in "/:@"):
            return f"{self.name}:{name}"
        rest = name.removeprefix(self.name) if name.startswith(self.name) else None
        inside = rest is not None and (not rest or rest[0] in "/:@")
        return name if self.allow_overwrite or inside else ""


class UnpackRequest(Struct, frozen=True):
    """A platform and a snapshotter for it; empty means any, and the default."""

    platform: Platform | None = None
    snapshotter: str = ""


class Destination(Struct, frozen=True):
    """The image store, as a client describes it."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: Sequence[Platform] = ()
    all_metadata: bool = False
    manifest_limit: int = 0
    references: Sequence[Reference] = ()
    unpacks: Sequence[UnpackRequest] = ()

    def names_of_whole(self, digest: str) -> list[str]:
        """The names for what the operation is about, the main one first."""
        names = [self.name] if self.name else []
        for reference in self.references:
            if reference.add_digest:
                names.append(f"{reference.name}@{digest}")
            elif not reference.is_prefix:
                names.append(reference.name)
        return names

    def names_of_part(self, annotations: Mapping[str, str], digest: str) -> list[str]:
        """The names for one manifest of an archive."""
        return [
            name
            for reference in self.references
            if reference.is_prefix
            for name in reference.names(annotations, digest)
        ]


class Names:
    """Gives images of one transfer the names that its destination wants."""

    def __init__(self, context: Context, images: Images, destination: Destination, clock: Clock) -> None:
        self._context = context
        self._images = images
        self._destination = destination
        self._extra_labels = dict(destination.labels)
        if destination.name:
            # Further names live as long as the main one.
            self._extra_labels[LABEL_EXPIRE] = format_ns(clock.now_ns() // NS * NS)
            self._extra_labels[LABEL_KEPT_BY] = destination.name

    async def give(self, whole: Descriptor, parts: Sequence[Descriptor] = ()) -> AsyncIterator[tuple[str, Descriptor]]:
        """Stores *whole*, and each of *parts* that gets a name; tells each name when it is stored."""
        for name in self._destination.names_of_whole(whole.digest):
            await self._store(name, whole)
            yield name, whole
        for part in parts:
            for name in self._destination.names_of_part(part.annotations, part.digest):
                await self._store(name, part)
                yield name, part

    async def _store(self, name: str, descriptor: Descriptor) -> None:
        """Creates the image, or makes the one of that name point here."""
        labels = self._destination.labels if name == self._destination.name else self._extra_labels
        target = Target(descriptor.media_type, descriptor.digest, descriptor.size, dict(descriptor.annotations))
        image = Image(name, target, dict(labels))
        while True:
            try:
                await self._images.create(self._context.namespace, image, lease=self._context.lease)
            except AlreadyExists:
                try:
                    await self._images.update(self._context.namespace, image, lease=self._context.lease)
                except NotFound:
                    continue  # deleted meanwhile
            return
