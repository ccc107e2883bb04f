"""Documents of images: read, bounded, not taken for another kind."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.errors import InvalidArgument
from pycontainerd.oci import image

CONFIG = image.Descriptor(image.OCI_CONFIG, "sha256:" + "1" * 64, 3)
LAYER = image.Descriptor(image.OCI_LAYER_GZIP, "sha256:" + "2" * 64, 4)
MANIFEST = image.Manifest(2, image.OCI_MANIFEST, config=CONFIG, layers=(LAYER,))


def test_a_manifest_survives_writing_and_reading() -> None:
    assert image.decode(image.Manifest, image.encode(MANIFEST), name="m") == MANIFEST


def test_the_children_of_a_manifest_are_its_config_and_layers() -> None:
    data = image.encode(MANIFEST)
    assert image.children(data, image.Descriptor(image.DOCKER_MANIFEST, "d", len(data))) == (CONFIG, LAYER)


def test_a_layer_has_no_children() -> None:
    assert image.children(b"\x1f\x8b", LAYER) == ()


@pytest.mark.parametrize(
    ("media_type", "document"),
    [
        (image.OCI_MANIFEST, {"schemaVersion": 2, "manifests": []}),
        (image.OCI_MANIFEST, {"schemaVersion": 2, "mediaType": image.OCI_INDEX}),
        (image.OCI_INDEX, {"schemaVersion": 2, "layers": []}),
        (image.DOCKER_INDEX, {"schemaVersion": 2, "mediaType": image.DOCKER_MANIFEST}),
        (image.OCI_MANIFEST, {"schemaVersion": 1, "fsLayers": []}),
    ],
)
def test_a_document_of_two_minds_is_refused(media_type: str, document: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="sha256:x"):
        image.children(json.dumps(document).encode(), image.Descriptor(media_type, "sha256:x", 1))


@given(st.binary(max_size=64))
def test_bytes_that_nobody_vouches_for_are_a_manifest_or_invalid(data: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        assert image.decode(image.Manifest, data, name="m").schema_version is not None


def test_a_deep_document_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        image.decode(image.Index, b'{"schemaVersion":2,"annotations":' + b"[" * 100_000, name="m")


def test_a_long_document_is_refused_unread() -> None:
    with pytest.raises(InvalidArgument, match="more than"):
        image.decode(image.Manifest, bytes(image.DOCUMENT_LIMIT + 1), name="m")


def test_a_document_of_too_many_values_is_refused_unread() -> None:
    layers = b",".join([b"{}"] * image.VALUES_LIMIT)
    with pytest.raises(InvalidArgument, match="more than the 200000 values of a document"):
        image.decode(image.Manifest, b'{"layers":[' + layers + b"]}", name="m")


def test_chain_ids_hash_the_chain_below() -> None:
    first, second, third = ("sha256:" + c * 64 for c in "abc")
    two = "sha256:" + hashlib.sha256(f"{first} {second}".encode()).hexdigest()
    three = "sha256:" + hashlib.sha256(f"{two} {third}".encode()).hexdigest()
    assert image.chain_ids((first, second, third)) == (first, two, three)
    assert image.chain_id((first, second, third)) == three
    assert image.chain_id(()) == ""


@pytest.mark.parametrize(
    ("media_type", "layer"),
    [
        (image.OCI_LAYER_ZSTD, True),
        (image.OCI_LAYER + "+encrypted", True),
        (image.OCI_FOREIGN_LAYER_GZIP, True),
        (image.DOCKER_LAYER_GZIP, True),
        (image.IN_TOTO, False),
        (image.OCI_CONFIG, False),
    ],
)
def test_a_layer_is_known_by_its_media_type(media_type: str, layer: bool) -> None:
    assert image.is_layer(media_type) is layer


def test_a_config_keeps_absent_and_empty_apart() -> None:
    config = image.decode(image.ImageConfig, b'{"config":{"Cmd":[],"Volumes":{"/v":{}}}}', name="c")
    assert config.config is not None
    assert config.config.cmd == ()
    assert config.config.entrypoint is None
    assert list(config.config.volumes or ()) == ["/v"]
