"""Walking an image from its index down: what each document points to is labelled for the collector, and what the store
does not want is left out of the walk.

Labels (metadata-gc.md §7) stand on all children, also on those that are left out: a later pull may bring them. Only
what is walked gets labels of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pycontainerd.content.model import Digest
from pycontainerd.errors import InvalidArgument, NotFound, Unknown
from pycontainerd.oci import image, platforms
from pycontainerd.oci.image import DOCUMENT_LIMIT, Descriptor
from pycontainerd.oci.platforms import Matcher
from pycontainerd.transfer import documents
from pycontainerd.transfer.context import Context

REFERENCE: Final = "containerd.io/gc.ref.content."

DOCUMENTS_LIMIT: Final = 10_000
"""Manifests and indexes of one image."""

CHILDREN_LIMIT: Final = 10_000
"""What one document may point to; each becomes a label."""

_CHECKPOINT_CONFIGS: Final = "application/vnd.containerd.container.checkpoint."

Visit = Callable[[Descriptor, Sequence[Descriptor]], Awaitable[None]]
"""What is called with each manifest of a wanted platform, and with its children."""


class Wanted:
    """Which parts of an image a store wants. Without *platforms_* it wants all."""

    def __init__(
        self, platforms_: Sequence[image.Platform] = (), *, all_metadata: bool = False, manifest_limit: int = 0
    ) -> None:
        self._matcher: Matcher | None = platforms.any_of(platforms_) if platforms_ else None
        self._all_metadata = all_metadata
        self._limit = manifest_limit

    def of(self, parent: Descriptor, children: Sequence[Descriptor]) -> list[tuple[Descriptor, bool]]:
        """The children to walk, each with whether its layers are wanted. Raises NotFound if a limit leaves none."""
        found: list[tuple[Descriptor, bool]] = []
        for child in children:
            fits = child.platform is None or self._matcher is None or self._matcher(child.platform)
            if fits or self._all_metadata:
                found.append((child, fits))
        if self._limit and image.is_index(parent.media_type):
            return self._limited(found)
        return found

    def _limited(self, found: list[tuple[Descriptor, bool]]) -> list[tuple[Descriptor, bool]]:
        if not found:
            raise NotFound("no match for platform in manifest")
        order = self._matcher or platforms.default()
        last = len(order.platforms)

        def place(pair: tuple[Descriptor, bool]) -> int:
            platform = pair[0].platform
            rank = None if platform is None else order.rank(platform)
            return last if rank is None else rank

        return sorted(found, key=place)[: self._limit]


async def walk(context: Context, root: Descriptor, wanted: Wanted, visit: Visit) -> tuple[Descriptor, ...]:
    """Walks from *root*; returns what it points to. Raises NotFound for a document that is missing, Unknown if
    nothing of the root is wanted.
    """
    seen: set[str] = set()
    pending = [(root, True)]
    children_of_root: tuple[Descriptor, ...] = ()
    while pending:
        descriptor, whole = pending.pop()
        if not _is_document(descriptor) or descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        if len(seen) > DOCUMENTS_LIMIT:
            raise InvalidArgument(f"image {root.digest} has more than {DOCUMENTS_LIMIT} documents")
        children = await _read_children(context, descriptor)
        await _label(context, descriptor, children)
        walked = wanted.of(descriptor, children)
        if descriptor is root:
            children_of_root = children
            if not walked:
                raise Unknown("image might be filtered out")
        if whole and image.is_manifest(descriptor.media_type):
            await visit(descriptor, children)
        pending += [(child, whole and fits) for child, fits in reversed(walked)]
    return children_of_root


async def _read_children(context: Context, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    digest = Digest.parse(descriptor.digest)
    data = await context.content.read_all(context.namespace, digest, limit=DOCUMENT_LIMIT)
    documents.check(data)
    try:
        children = image.children(data, descriptor)
    except InvalidArgument as error:
        raise Unknown(error.message) from error
    if len(children) > CHILDREN_LIMIT:
        raise InvalidArgument(f"{descriptor.digest} points to more than {CHILDREN_LIMIT} others")
    return children


async def _label(context: Context, descriptor: Descriptor, children: Sequence[Descriptor]) -> None:
    labels = reference_labels(children)
    if labels:
        paths = [f"labels.{key}" for key in labels]
        await context.content.update(context.namespace, Digest.parse(descriptor.digest), labels, paths)


def reference_labels(children: Sequence[Descriptor]) -> dict[str, str]:
    """The labels by which a document holds what it points to."""
    labels: dict[str, str] = {}
    counts: dict[str, int] = {}
    for child in children:
        key = _key(child.media_type)
        number = counts.get(key, 0)
        counts[key] = number + 1
        suffix = str(number) if number or key.endswith(".") else ""
        labels[key + suffix] = child.digest
    return labels


def _key(media_type: str) -> str:
    if image.is_config(media_type) or media_type.startswith(_CHECKPOINT_CONFIGS):
        return REFERENCE + "config"
    if image.is_manifest(media_type):
        return REFERENCE + "m."
    if image.is_layer(media_type):
        return REFERENCE + "l."
    return REFERENCE


def _is_document(descriptor: Descriptor) -> bool:
    return image.is_manifest(descriptor.media_type) or image.is_index(descriptor.media_type)
