"""Imports of archives of any shape: ours answers, tells and leaves behind what stock does."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.types.transfer_pb2 import ImageReference, ImageStore
from pycontainerd.api.containerd.types_pb2 import Platform
from tests.harness import archives
from tests.harness.archives import NAME, REF_NAME, Layout, Tar, digest_of, docker_archive, layer, to_json
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.transfers import LEASES, Outcome, Transfers, normalized, store

_numbers = itertools.count(1)

ONE, TWO = layer(one="1"), layer(two="2")


@pytest.fixture(scope="module")
def stock(session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(STOCK, session_base / "import-stock") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def ours(session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, session_base / "import-ours") as daemon:
        yield daemon


@pytest.fixture
def both(stock: Daemon, ours: Daemon) -> Iterator[tuple[Transfers, Transfers]]:
    """A namespace of stock and one of ours, new for each test."""
    namespace = f"import-{next(_numbers)}"
    pair = Transfers(stock.address, namespace), Transfers(ours.address, namespace)
    yield pair
    for side in pair:
        side.close()


def oci(*, compress: bool = False) -> bytes:
    layout = Layout()
    return layout.add(layout.image([ONE, TWO], {NAME: "example.com/a/b:1", REF_NAME: "1"}, compress=compress)).bytes()


def prefix(name: str, **options: bool) -> ImageReference:
    return ImageReference(name=name, is_prefix=True, **options)


def multi_platform(without: str = "") -> bytes:
    layout = Layout()
    manifests = [
        layout.image([layer(arch=name)], architecture=name, platform=True, without=[0] if name == without else [])
        for name in ("amd64", "arm64", "s390x")
    ]
    return layout.nested(*manifests, **{NAME: "example.com/multi:1"}).bytes()


def flat(*architectures: str) -> bytes:
    layout = Layout()
    return layout.add(
        *(layout.image([layer(arch=name)], architecture=name, platform=True) for name in architectures)
    ).bytes()


def image_of_nothing() -> bytes:
    layout = Layout()
    return layout.add(layout.image([])).bytes()


def docker_files(manifest: object, **files: bytes) -> bytes:
    """A docker archive of these files."""
    tar = Tar()
    for name, data in files.items():
        tar.file(f"{name}.json", data)
    return tar.file("manifest.json", to_json(manifest)).bytes()


def many_names() -> bytes:
    layout = Layout()
    annotations: list[dict[str, str]] = [
        {NAME: "example.com/a/b:1"},
        {REF_NAME: "latest"},
        {REF_NAME: "example.com/c:d"},
        {NAME: "x"},
        {},
        {NAME: "example.com/pfx/z:9", REF_NAME: "q"},
        {REF_NAME: "example.com/pfx2/z:9"},
    ]
    return layout.add(*(layout.image([], said) for said in annotations)).bytes()


def amd64(name: str, *, unpack: str = "", all_metadata: bool = False) -> ImageStore:
    platforms = [Platform(os="linux", architecture="amd64")]
    return store(name, unpack=unpack, platforms=platforms, all_metadata=all_metadata)


CASES: dict[str, tuple[Callable[[], bytes], ImageStore]] = {
    "an image without a name is stored under none": (oci, store(unpack="overlayfs")),
    "an image is unpacked natively if asked": (oci, store("n", unpack="overlayfs")),
    "layers may be compressed": (lambda: oci(compress=True), store("n", unpack="overlayfs")),
    "a main name and a digest": (
        oci,
        store("foo/bar:v3", labels={"x": "y"}, extra_references=[prefix("import-2026", add_digest=True)]),
    ),
    "the archive may be gzipped": (
        lambda: gzip.compress(oci(), mtime=0),
        store(unpack="overlayfs", extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "the archive may be of zstd": (
        lambda: zstandard.compress(oci()),
        store(extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "further names depend on the main one": (
        oci,
        store("main", extra_references=[ImageReference(name="two"), ImageReference(name="three", add_digest=True)]),
    ),
    "garbage": (lambda: b"not a tar at all" * 1000, store("n")),
    "nothing": (lambda: b"", store("n")),
    "files that are no image": (lambda: Tar().file("hello", b"x").bytes(), store("n")),
    "another version of the layout": (lambda: Layout().bytes("2.0.0"), store("n")),
    "a layout without an index": (
        lambda: Tar().file("oci-layout", to_json({"imageLayoutVersion": "1.0.0"})).bytes(),
        store("n"),
    ),
    "a layout that is no JSON": (lambda: Tar().file("oci-layout", b"junk").bytes(), store("n")),
    "an empty index": (lambda: Layout().bytes(), store("n")),
    "a missing manifest": (
        lambda: Layout().add(archives.descriptor(archives.OCI_MANIFEST, b"missing")).bytes(),
        store("n"),
    ),
    "a blob under another name": (
        lambda: (
            Tar()
            .file("oci-layout", to_json({"imageLayoutVersion": "1.0.0"}))
            .file(f"blobs/sha256/{'a' * 64}", b"wrong")
            .file("index.json", to_json({"schemaVersion": 2, "manifests": []}))
            .bytes()
        ),
        store("n"),
    ),
    "a docker archive": (
        lambda: docker_archive([ONE, TWO]),
        store(unpack="overlayfs", extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "a docker archive with a compressed layer": (
        lambda: docker_archive([gzip.compress(ONE, mtime=0), TWO], diff_ids=[digest_of(ONE), digest_of(TWO)]),
        store(unpack="overlayfs", extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "a docker archive with a linked layer": (
        lambda: docker_archive([ONE, ONE], linked=True),
        store(unpack="overlayfs", extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "a docker archive without names": (
        lambda: docker_archive([ONE], None),
        store(extra_references=[prefix("import", add_digest=True)]),
    ),
    "a docker archive with a bad name": (lambda: docker_archive([ONE], ["A B"]), store("n")),
    "a docker archive without its config": (
        lambda: (
            Tar().file("manifest.json", to_json([{"Config": "nope.json", "RepoTags": ["a"], "Layers": []}])).bytes()
        ),
        store("n"),
    ),
    "a docker archive without its layer": (
        lambda: (
            Tar()
            .file("c.json", archives.config([]))
            .file("manifest.json", to_json([{"Config": "c.json", "RepoTags": ["a"], "Layers": ["nolayer"]}]))
            .bytes()
        ),
        store("n"),
    ),
    "a docker archive with a config that is none": (
        lambda: (
            Tar()
            .file("c.json", b"junk")
            .file("manifest.json", to_json([{"Config": "c.json", "RepoTags": ["a"], "Layers": []}]))
            .bytes()
        ),
        store("n"),
    ),
    "a docker archive of no image": (lambda: Tar().file("manifest.json", b"[]").bytes(), store("n")),
    "a docker archive whose manifest is none": (lambda: Tar().file("manifest.json", b"junk").bytes(), store("n")),
    "a docker archive of odd paths": (
        lambda: (
            Tar()
            .file("./c.json", archives.config([]))
            .file("x/../manifest.json", to_json([{"Config": "c.json", "RepoTags": ["a"], "Layers": []}]))
            .bytes()
        ),
        store(extra_references=[prefix("import", allow_overwrite=True)]),
    ),
    "another layer than promised": (
        lambda: docker_archive([ONE, TWO], diff_ids=[digest_of(ONE), digest_of(b"other")]),
        store("n", unpack="overlayfs"),
    ),
    "fewer layers than promised": (
        lambda: docker_archive([ONE, TWO], diff_ids=[digest_of(ONE)]),
        store("n", unpack="overlayfs"),
    ),
    "names under a prefix": (many_names, store(extra_references=[prefix("example.com/pfx")])),
    "names anywhere": (many_names, store(extra_references=[prefix("example.com/pfx", allow_overwrite=True)])),
    "names and digests": (many_names, store(extra_references=[prefix("example.com/pfx", add_digest=True)])),
    "names or digests": (
        many_names,
        store(extra_references=[prefix("example.com/pfx", add_digest=True, skip_named_digest=True)]),
    ),
    "names or digests anywhere": (
        many_names,
        store(
            extra_references=[prefix("example.com/pfx", add_digest=True, skip_named_digest=True, allow_overwrite=True)]
        ),
    ),
    "an empty prefix": (many_names, store(extra_references=[prefix("", allow_overwrite=True, add_digest=True)])),
    "a prefix that ends in a colon": (
        many_names,
        store(extra_references=[prefix("example.com/pfx:", add_digest=True)]),
    ),
    "all platforms": (multi_platform, store("n")),
    "one platform": (multi_platform, amd64("n")),
    "one platform, unpacked": (multi_platform, amd64("n", unpack="overlayfs")),
    "one platform, the others' metadata": (multi_platform, amd64("n", unpack="overlayfs", all_metadata=True)),
    "the best platform": (multi_platform, store("n", unpack="overlayfs", manifest_limit=1)),
    "a platform that is not there, below": (
        multi_platform,
        store("n", unpack="overlayfs", platforms=[Platform(os="linux", architecture="ppc64le")]),
    ),
    "a platform that is not there": (lambda: flat("arm64", "s390x"), amd64("n")),
    "an image of nothing": (
        image_of_nothing,
        store("n", unpack="overlayfs"),
    ),
    "labels that are too long": (oci, store("n", labels={"k": "v" * 5000})),
    "nulls for lists": (
        lambda: (
            Tar()
            .file("c.json", archives.config([], config=None, history=None))
            .file("manifest.json", to_json([{"Config": "c.json", "RepoTags": None, "Layers": None}]))
            .bytes()
        ),
        store(extra_references=[prefix("import", add_digest=True)]),
    ),
}


def compare(stock: Outcome, ours: Outcome) -> None:
    assert normalized(ours.answer) == normalized(stock.answer)
    assert ours.events == stock.events


@pytest.mark.parametrize("case", CASES)
def test_an_import_ends_as_with_stock(both: tuple[Transfers, Transfers], case: str) -> None:
    make, target = CASES[case]
    data = make()
    stock, ours = both
    for side in both:
        # It holds also what has no name, which the collector would take sooner or later.
        side.asker.ask(LEASES, "create", leases_pb2.CreateRequest(id="l"), namespace=side.namespace)
    compare(
        stock.import_archive(data, target, lease="l"),
        ours.import_archive(data, target, lease="l"),
    )
    assert ours.left() == stock.left()


@pytest.mark.parametrize("snapshotter", ["zork", "native"])
def test_what_nothing_can_unpack_is_refused_before_it_is_read(
    both: tuple[Transfers, Transfers], snapshotter: str
) -> None:
    stock, ours = both
    target = store("n", unpack=snapshotter)
    compare(stock.import_archive(oci(), target), ours.import_archive(oci(), target))
    assert ours.left() == []


def test_what_nobody_holds_after_an_import_is_collected(both: tuple[Transfers, Transfers]) -> None:
    target = store(unpack="overlayfs", extra_references=[prefix("import", allow_overwrite=True)])
    for side in both:
        side.import_archive(docker_archive([ONE, TWO]), target)
        side.collect()
    assert both[0].left() == both[1].left()
    assert [line.split()[0] for line in both[1].left()].count("blob") == 4


TAGS_OF_DOCKER = [
    "busybox", "busybox:1.36", "library/busybox", "docker.io/busybox", "index.docker.io/busybox:x", "user/image:tag",
    "localhost/a", "localhost:5000/a/b:c", "host:5000", "host:5000/x", "example.com/a", "example.com/a/b/c:d-e_f.g",
    "A/b", "a/B", "a//b", "a:", ":a", "", "a@sha256:" + "a" * 64, "a:b@sha256:" + "a" * 64, "a@sha256:aa",
    "a" * 64, "a" * 300, "example.com/" + "b" * 244, "a:" + "t" * 128, "a:" + "t" * 129, "a--b", "a__b", "a___b",
    "a..b", "-a", "a_", "[::1]:5000/a", "é", "a b", "a\n", "EXAMPLE.com/a", "Localhost/a", "a/b@c", "x/../y",
]  # fmt: skip


@pytest.mark.parametrize("tag", TAGS_OF_DOCKER)
def test_a_name_in_a_docker_archive_is_read_as_by_stock(both: tuple[Transfers, Transfers], tag: str) -> None:
    data = docker_archive([], [tag])
    target = store(extra_references=[prefix("import", allow_overwrite=True)])
    stock, ours = both
    compare(stock.import_archive(data, target), ours.import_archive(data, target))


@pytest.mark.parametrize("cut", [100, 511, 512, 513, 600, 1024, 1025, 1536, 2048, 2049, 3000, 4096, 6000])
def test_a_truncated_archive_is_refused_as_by_stock(both: tuple[Transfers, Transfers], cut: int) -> None:
    layout = Layout()
    data = layout.add(layout.image([ONE])).bytes()[:cut]
    stock, ours = both
    compare(stock.import_archive(data, store("n")), ours.import_archive(data, store("n")))


@pytest.mark.parametrize("media_type", ["application/vnd.oci.image.layout", "foo/bar+gzip"])
@pytest.mark.parametrize("compress", [False, True])
def test_only_an_archive_without_a_media_type_may_be_compressed(
    both: tuple[Transfers, Transfers], media_type: str, compress: bool
) -> None:
    data = gzip.compress(oci()) if compress else oci()
    stock, ours = both
    compare(
        stock.import_archive(data, store("n"), media_type=media_type),
        ours.import_archive(data, store("n"), media_type=media_type),
    )


def test_an_image_is_imported_again_and_under_a_lease(both: tuple[Transfers, Transfers]) -> None:
    stock, ours = both
    target = store("n", unpack="overlayfs")
    held: list[str] = []
    for side in both:
        side.asker.ask(LEASES, "create", leases_pb2.CreateRequest(id="l"), namespace=side.namespace)
    for lease in ("", "l", "none"):
        compare(stock.import_archive(oci(), target, lease=lease), ours.import_archive(oci(), target, lease=lease))
    assert ours.left() == stock.left()
    for side in both:
        request = leases_pb2.ListResourcesRequest(id="l")
        reply = side.asker.ask(LEASES, "list_resources", request, namespace=side.namespace)
        held.append(str(sorted((resource.type, resource.id) for resource in reply.resources)))
    assert held[0] == held[1]


def test_plain_layers_are_compressed_if_asked(ours: Daemon) -> None:
    side = Transfers(ours.address, "compress")
    data = docker_archive([ONE, gzip.compress(TWO, mtime=0)], diff_ids=[digest_of(ONE), digest_of(TWO)])
    found = side.import_archive(data, store("n", unpack="overlayfs"), force_compress=True)
    assert found.answer == ""
    blobs = [line.split() for line in side.left() if line.startswith("blob")]
    compressed = [
        side.read(digest)
        for _, digest, *labels in blobs
        if any(digest_of(ONE) in label for label in labels) and side.read(digest) != ONE
    ]
    assert [gzip.decompress(data) for data in compressed] == [ONE]
    assert compressed[0][:10] == bytes.fromhex("1f8b08000000000000ff")
    side.close()


TAGS: dict[str, tuple[str, ImageStore]] = {
    "a name": ("main", store("other:v1", labels={"q": "r"})),
    "several names": (
        "main",
        store(
            "other",
            labels={"q": "r"},
            extra_references=[
                ImageReference(name="e1"),
                ImageReference(name="e2", is_prefix=True, add_digest=True),
                ImageReference(name="e3", is_prefix=True),
                ImageReference(name="e4", add_digest=True),
            ],
        ),
    ),
    "none": ("main", store()),
    "only a further name": ("main", store(extra_references=[ImageReference(name="only")])),
    "a source that is not there": ("nope", store("x")),
    "itself": ("main", store("main", labels={"z": "y"})),
    "labels that are too long": ("main", store("x", labels={"z": "y" * 5000})),
}


@pytest.mark.parametrize("case", TAGS)
def test_a_tag_ends_as_with_stock(both: tuple[Transfers, Transfers], case: str) -> None:
    source, target = TAGS[case]
    answers = []
    for side in both:
        side.import_archive(oci(), store("main", labels={"a": "b"}))
        answers.append(side.transfer(store(source), target))
    assert answers[0] == answers[1]
    assert both[0].left() == both[1].left()


def test_an_echo_gives_back_what_was_sent(both: tuple[Transfers, Transfers]) -> None:
    data = bytes(range(256)) * 1_000
    assert [side.echo(data) for side in both] == [data, data]
