"""Types of the image specification, and how to read them from bytes that nobody vouches for.

The members are those of image-spec v1.1; what a document holds beyond them is not kept, since documents are
named by their digest and never written again. Docker's media types mean the same documents.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from pycontainerd.errors import InvalidArgument

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD: Final = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_FOREIGN_LAYER: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_LAYER_GZIP: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_FOREIGN_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"
"""A layer of an attestation manifest: data, never unpacked."""

ANNOTATION_IMAGE_NAME: Final = "io.containerd.image.name"
ANNOTATION_REF_NAME: Final = "org.opencontainers.image.ref.name"

DOCUMENT_LIMIT: Final = 20 << 20
"""Bytes of the longest manifest, index or config that is decoded; the size that stock sets for archive
documents.
"""

VALUES_LIMIT: Final = 200_000
"""Values in a document that is decoded; an index of ten thousand children has fewer. By them goes what decoding costs,
and it holds the interpreter's lock for all of that.
"""

_T = TypeVar("_T")


class Platform(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"os_version": "os.version", "os_features": "os.features"},
):
    """What a manifest is for. See `platforms` for the comparison."""

    architecture: str
    os: str
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The name of a blob: what it is, its digest, how long it is."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    data: str = ""
    platform: Platform | None = None
    artifact_type: str = ""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image for one platform."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Manifests, or further indexes, to choose from."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class RootFS(msgspec.Struct, frozen=True, omit_defaults=True):
    """The layers of an image by the digests of their plain tar streams, base first."""

    type: str = "layers"
    diff_ids: tuple[str, ...] = ()


class ContainerConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """How to run the image, unless the caller says otherwise."""

    user: str = ""
    exposed_ports: dict[str, msgspec.Raw] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, msgspec.Raw] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    args_escaped: bool = False


class ImageConfig(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"os_version": "os.version", "os_features": "os.features"},
):
    """The config of one image: its platform, its layers, how to run it."""

    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""
    created: str | None = None
    author: str = ""
    config: ContainerConfig | None = None
    rootfs: RootFS | None = None

    @property
    def platform(self) -> Platform:
        return Platform(self.architecture, self.os, self.os_version, self.os_features, self.variant)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return self.rootfs.diff_ids if self.rootfs else ()


class ImageLayout(msgspec.Struct, frozen=True, rename="camel"):
    """The file `oci-layout` of an archive."""

    image_layout_version: str


class DockerArchiveEntry(msgspec.Struct, frozen=True, rename="pascal"):
    """One image in the `manifest.json` of an archive as `docker save` writes it; paths are relative to the
    archive.
    """

    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] = ()


_MANIFESTS: Final = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
_INDEXES: Final = frozenset((OCI_INDEX, DOCKER_INDEX))
_CONFIGS: Final = frozenset((OCI_CONFIG, DOCKER_CONFIG))
_FOREIGN: Final = frozenset(
    (
        OCI_FOREIGN_LAYER,
        OCI_FOREIGN_LAYER_GZIP,
        OCI_FOREIGN_LAYER_ZSTD,
        DOCKER_FOREIGN_LAYER,
        DOCKER_FOREIGN_LAYER_GZIP,
    )
)
_DOCKER_LAYERS: Final = frozenset(
    (DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD, DOCKER_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER_GZIP)
)


def is_manifest(media_type: str) -> bool:
    return media_type in _MANIFESTS


def is_index(media_type: str) -> bool:
    return media_type in _INDEXES


def is_config(media_type: str) -> bool:
    return media_type in _CONFIGS


def is_layer(media_type: str) -> bool:
    """Whether blobs of *media_type* are file system layers, however compressed or encrypted."""
    return media_type.startswith("application/vnd.oci.image.layer.") or media_type.partition("+")[0] in _DOCKER_LAYERS


def is_foreign_layer(media_type: str) -> bool:
    """Whether blobs of *media_type* are layers that their owner does not let others distribute."""
    return media_type in _FOREIGN


def decode(kind: type[_T], data: bytes | bytearray | memoryview, *, name: str) -> _T:
    """Reads a document of type *kind* from *data*; *name* (a digest, a file of an archive) goes into
    messages.

    Raises InvalidArgument if it is longer than DOCUMENT_LIMIT, has more than VALUES_LIMIT values, is no JSON, or not of
    that type.
    """
    if len(data) > DOCUMENT_LIMIT:
        raise InvalidArgument(f"{name}: {len(data)} bytes are more than the {DOCUMENT_LIMIT} of a document")
    if len(data) > VALUES_LIMIT and _separators(bytes(data)) > VALUES_LIMIT:
        raise InvalidArgument(f"{name}: more than the {VALUES_LIMIT} values of a document")
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            # Programs in Go write null for an empty list or map.
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{name}: no {kind.__name__.lower().strip('_')}: {error}") from error


def _separators(data: bytes) -> int:
    """What stands between and around the values of a document, whose number it bounds."""
    return sum(map(data.count, (b",", b"{", b"[")))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value


def encode(document: msgspec.Struct) -> bytes:
    """The JSON of *document*: compact, members in the order of the specification."""
    return msgspec.json.encode(document)


class _Probe(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str = ""
    config: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()
    manifests: msgspec.Raw = msgspec.Raw()
    fs_layers: msgspec.Raw = msgspec.Raw()


def check_unambiguous(data: bytes, media_type: str, *, name: str) -> None:
    """Raises InvalidArgument if *data* says of itself to be another kind of document than *media_type*.

    One digest that is read as a manifest by one program and as an index by another would make both run
    different images: CVE-2021-41190.
    """
    probe = decode(_Probe, data, name=name)
    if probe.fs_layers:
        raise InvalidArgument(f'{name}: media-type "{media_type}", but the document holds fsLayers (schema 1)')
    if is_manifest(media_type) and (probe.manifests or probe.media_type in _INDEXES):
        raise InvalidArgument(f'{name}: expected manifest but found index ("{media_type}")')
    if is_index(media_type) and (probe.config or probe.layers or probe.media_type in _MANIFESTS):
        raise InvalidArgument(f'{name}: expected index but found manifest ("{media_type}")')


def children(data: bytes, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    """What the document *data* of *descriptor* points to: config then layers, or manifests; nothing for other
    types.

    Raises InvalidArgument as `decode` and `check_unambiguous` do.
    """
    if is_manifest(descriptor.media_type):
        check_unambiguous(data, descriptor.media_type, name=descriptor.digest)
        manifest = decode(Manifest, data, name=descriptor.digest)
        return ((manifest.config,) if manifest.config else ()) + manifest.layers
    if is_index(descriptor.media_type):
        check_unambiguous(data, descriptor.media_type, name=descriptor.digest)
        return decode(Index, data, name=descriptor.digest).manifests
    return ()


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the stacks of layers: of the first, of the first two, and so on. See image-spec,
    config.md.
    """
    chain = list(diff_ids[:1])
    if len(diff_ids) > 1:
        # Loaded here only: it loads OpenSSL, and an image of one layer needs no hash.
        import hashlib

        for diff_id in diff_ids[1:]:
            chain.append("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest())
    return tuple(chain)


def chain_id(diff_ids: tuple[str, ...]) -> str:
    """The name of the whole stack, as its snapshot is called; empty for an image without layers."""
    return chain_ids(diff_ids)[-1] if diff_ids else ""
