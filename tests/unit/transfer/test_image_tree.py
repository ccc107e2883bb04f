"""Which labels a document gets, which children are walked, and where a hostile image ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import pytest

from pycontainerd.content.model import Digest
from pycontainerd.errors import Error, InvalidArgument, NotFound, Unknown
from pycontainerd.oci import image
from pycontainerd.oci.image import Descriptor, Platform
from pycontainerd.transfer import image_tree
from pycontainerd.transfer.context import Context
from pycontainerd.transfer.image_tree import Wanted, reference_labels, walk
from pycontainerd.transfer.progress import Progress
from pycontainerd.transfer.seams import Content
from tests.harness.archives import to_json


class Blobs:
    """Documents by digest, and the labels that they were given."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.labels: dict[str, Mapping[str, str]] = {}
        self.reads: list[str] = []

    def add(self, media_type: str, document: object) -> Descriptor:
        data = to_json(document)
        digest = str(Digest.of(data))
        self.documents[digest] = data
        return Descriptor(media_type, digest, len(data))

    def index(self, *children: Descriptor) -> Descriptor:
        said = [{"mediaType": c.media_type, "digest": c.digest, "size": c.size} for c in children]
        return self.add(image.OCI_INDEX, {"schemaVersion": 2, "manifests": said})

    async def read_all(self, namespace: str, digest: Digest, *, limit: int) -> bytes:
        self.reads.append(str(digest))
        if str(digest) not in self.documents:
            raise NotFound(f"content digest {digest}")
        return self.documents[str(digest)]

    async def update(self, namespace: str, digest: Digest, sent: Mapping[str, str], paths: Iterable[str] = ()) -> None:
        self.labels[str(digest)] = dict(sent)


def walked(blobs: Blobs, root: Descriptor) -> list[str]:
    """The manifests that a walk from *root* visits."""
    visited: list[str] = []

    async def visit(manifest: Descriptor, children: Sequence[Descriptor]) -> None:
        visited.append(manifest.digest)

    context = Context("ns", "l", cast("Content", blobs), Progress(None))
    asyncio.run(walk_one(context, root, visit))
    return visited


async def walk_one(context: Context, root: Descriptor, visit: image_tree.Visit) -> None:
    await walk(context, root, Wanted(), visit)


def child(media_type: str, digest: str = "d") -> Descriptor:
    return Descriptor(media_type, digest, 1)


def test_children_are_labelled_by_what_they_are() -> None:
    children = [
        child(image.OCI_CONFIG, "c0"),
        child(image.DOCKER_CONFIG, "c1"),
        child(image.OCI_LAYER_GZIP, "l0"),
        child(image.DOCKER_LAYER, "l1"),
        child(image.OCI_MANIFEST, "m0"),
        child(image.OCI_INDEX, "o0"),
        child("x/y", "o1"),
        child("application/vnd.containerd.container.checkpoint.config.v1+proto", "c2"),
    ]
    prefix = "containerd.io/gc.ref.content."
    assert reference_labels(children) == {
        f"{prefix}config": "c0",
        f"{prefix}config1": "c1",
        f"{prefix}config2": "c2",
        f"{prefix}l.0": "l0",
        f"{prefix}l.1": "l1",
        f"{prefix}m.0": "m0",
        f"{prefix}0": "o0",
        f"{prefix}1": "o1",
    }


def test_a_document_is_read_once_however_often_it_is_pointed_to() -> None:
    blobs = Blobs()
    below = blobs.add(image.OCI_MANIFEST, {"schemaVersion": 2, "layers": []})
    for _ in range(30):
        # Followed each time, this would be read 10 ** 30 times.
        below = blobs.index(*[below] * 10)
    assert len(walked(blobs, below)) == 1
    assert len(blobs.reads) == 31


@pytest.mark.parametrize(
    ("children", "error"),
    [
        ([], Unknown),
        ([child(image.OCI_MANIFEST, f"sha256:{'a' * 64}")], NotFound),
        ([child("x", "y")] * 10_001, InvalidArgument),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(children: list[Descriptor], error: type[Error]) -> None:
    blobs = Blobs()
    with pytest.raises(error):
        walked(blobs, blobs.index(*children))


def test_a_document_that_says_to_be_another_kind_is_refused() -> None:
    blobs = Blobs()
    found = blobs.index(child(image.OCI_LAYER))
    with pytest.raises(Unknown, match="expected manifest but found index"):
        walked(blobs, Descriptor(image.OCI_MANIFEST, found.digest, found.size))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), ["amd64", "arm64", "none"]),
        (Wanted([Platform("arm64", "linux")]), ["arm64", "none"]),
        (Wanted([Platform("arm64", "linux")], all_metadata=True), ["amd64", "arm64", "none"]),
        (Wanted([Platform("arm64", "linux"), Platform("amd64", "linux")], manifest_limit=1), ["arm64"]),
        (Wanted([Platform("s390x", "linux")], manifest_limit=5), ["none"]),
    ],
)
def test_a_store_gets_the_platforms_that_it_wants(wanted: Wanted, names: list[str]) -> None:
    children = [
        Descriptor(image.OCI_MANIFEST, "amd64", 1, platform=Platform("amd64", "linux")),
        Descriptor(image.OCI_MANIFEST, "arm64", 1, platform=Platform("arm64", "linux")),
        Descriptor(image.OCI_MANIFEST, "none", 1),
    ]
    assert [found.digest for found, _ in wanted.of(child(image.OCI_INDEX), children)] == names


def test_a_limit_that_nothing_meets_is_told() -> None:
    children = [Descriptor(image.OCI_MANIFEST, "amd64", 1, platform=Platform("amd64", "linux"))]
    with pytest.raises(NotFound, match="no match for platform in manifest"):
        Wanted([Platform("arm64", "linux")], manifest_limit=1).of(child(image.OCI_INDEX), children)
