"""Image archives of any shape, for import: OCI layouts and what `docker save` writes, sound and broken."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


class Tar:
    """A tar archive in the making."""

    def __init__(self, format_: int = tarfile.PAX_FORMAT) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=format_)  # noqa: SIM115 - closed in bytes()

    def file(self, path: str, data: bytes) -> Tar:
        entry = tarfile.TarInfo(path)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))
        return self

    def directory(self, path: str) -> Tar:
        entry = tarfile.TarInfo(path)
        entry.type = tarfile.DIRTYPE
        self._tar.addfile(entry)
        return self

    def link(self, path: str, target: str) -> Tar:
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)
        return self

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def layer(**files: str) -> bytes:
    """An uncompressed layer with these files in its root."""
    tar = Tar()
    for name, text in files.items():
        tar.file(name, text.encode())
    return tar.bytes()


def config(diff_ids: Sequence[str], *, architecture: str = "amd64", rootfs: str = "layers", **members: Any) -> bytes:
    """The config of an image of these layers."""
    said = {"architecture": architecture, "os": "linux", "rootfs": {"type": rootfs, "diff_ids": list(diff_ids)}}
    return to_json(said | members)


def descriptor(media_type: str, data: bytes, **members: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)} | members


class Layout:
    """An OCI layout in the making: blobs, and what the index names."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[dict[str, object]] = []

    def blob(self, data: bytes) -> bytes:
        self.blobs[digest_of(data)] = data
        return data

    def image(
        self,
        layers: Sequence[bytes],
        annotations: Mapping[str, str] | None = None,
        *,
        architecture: str = "amd64",
        compress: bool = False,
        without: Sequence[int] = (),
        platform: bool = False,
    ) -> dict[str, object]:
        """Adds an image to the blobs; *without* numbers layers that the archive shall lack. Returns its descriptor."""
        said = self.blob(config([digest_of(plain) for plain in layers], architecture=architecture))
        stored = [gzip.compress(plain, mtime=0) if compress else plain for plain in layers]
        for number, data in enumerate(stored):
            if number not in without:
                self.blob(data)
        kind = OCI_LAYER + ("+gzip" if compress else "")
        manifest = self.blob(
            to_json(
                {
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": descriptor(OCI_CONFIG, said),
                    "layers": [descriptor(kind, data) for data in stored],
                    "annotations": {"number": str(len(self.blobs))},
                }
            )
        )
        found = descriptor(OCI_MANIFEST, manifest)
        if annotations:
            found["annotations"] = dict(annotations)
        if platform:
            found["platform"] = {"architecture": architecture, "os": "linux"}
        return found

    def add(self, *manifests: dict[str, object]) -> Layout:
        self.manifests += manifests
        return self

    def nested(self, *manifests: dict[str, object], **annotations: str) -> Layout:
        """Adds an index of *manifests* to the top one."""
        inner = self.blob(to_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(manifests)}))
        return self.add(descriptor(OCI_INDEX, inner, annotations=annotations))

    def bytes(self, version: str = "1.0.0") -> bytes:
        tar = Tar()
        tar.directory("blobs").directory("blobs/sha256")
        for digest, data in self.blobs.items():
            tar.file(f"blobs/sha256/{digest.removeprefix('sha256:')}", data)
        tar.file("index.json", to_json({"schemaVersion": 2, "manifests": self.manifests}))
        return tar.file("oci-layout", to_json({"imageLayoutVersion": version})).bytes()


def docker_archive(
    layers: Sequence[bytes],
    tags: Sequence[str] | None = ("bb:latest", "example.com/x/y:2"),
    *,
    diff_ids: Sequence[str] | None = None,
    linked: bool = False,
) -> bytes:
    """What `docker save` writes for one image. With *linked* every layer but the first is a link to it."""
    said = config(diff_ids if diff_ids is not None else [digest_of(plain) for plain in layers])
    name = digest_of(said).removeprefix("sha256:") + ".json"
    tar = Tar().file(name, said)
    paths = [f"layer{number}/layer.tar" for number in range(len(layers))]
    for path, data in zip(paths, layers, strict=True):
        if linked and path != paths[0]:
            tar.link(path, f"../{paths[0]}")
        else:
            tar.file(path, data)
    manifest = [{"Config": name, "RepoTags": None if tags is None else list(tags), "Layers": paths}]
    return tar.file("manifest.json", to_json(manifest)).file("repositories", b"{}").bytes()
