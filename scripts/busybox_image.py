"""Writes an OCI image archive with Debian's static busybox: `busybox_image.py OUT.tar [NAME]`.

The archive is the same for the same busybox, byte for byte: entries sorted, times zero, owner root. Formats:
image-spec, image-layout.md, manifest.md and layer.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
DEFAULT_NAME = "example.local/library/busybox:latest"

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
GROUP = b"root:x:0:\nuser:x:1000:\nwheel:x:10:root,user\n"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of one blob of the layout and what a descriptor says of them."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    def descriptor(self, **annotations: str) -> dict[str, object]:
        plain: dict[str, object] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
        }
        return plain | ({"annotations": annotations} if annotations else {})


def busybox_layer() -> bytes:
    """A root file system as an uncompressed tar: busybox, a link for each of its applets, and a few files."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    layer = _Layer()
    for directory, mode in (("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home/user", 0o755), ("proc", 0o555),
                            ("root", 0o700), ("sys", 0o555), ("tmp", 0o1777), ("var", 0o755)):  # fmt: skip
        layer.directory(directory, mode)
    layer.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for applet in sorted(set(applets) - {"busybox"}):
        layer.link(f"bin/{applet}", "busybox")
    layer.file("etc/passwd", PASSWD)
    layer.file("etc/group", GROUP)
    return layer.bytes()


def oci_archive(name: str, layers: list[bytes], **config: object) -> bytes:
    """An OCI image layout as a tar with one image *name* of uncompressed *layers*; *config* goes into its config."""
    packed = [Blob(LAYER, gzip.compress(layer, 6, mtime=0)) for layer in layers]
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["sh"]} | config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    config_blob = Blob(CONFIG, _json(image))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config_blob.descriptor(),
                "layers": [blob.descriptor() for blob in packed]}  # fmt: skip
    manifest_blob = Blob(MANIFEST, _json(manifest))
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [manifest_blob.descriptor(**names)]}
    archive = _Layer()
    archive.directory("blobs/sha256", 0o755)
    for blob in {blob.digest: blob for blob in (config_blob, manifest_blob, *packed)}.values():
        archive.file(f"blobs/sha256/{blob.digest.partition(':')[2]}", blob.data, 0o444)
    archive.file("index.json", _json(index))
    archive.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    return archive.bytes()


class _Layer:
    """A tar in memory."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed in bytes()

    def directory(self, path: str, mode: int) -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(entry)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(data), mode
        self._tar.addfile(entry, io.BytesIO(data))

    def link(self, path: str, target: str) -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def main(arguments: list[str]) -> None:
    """Writes the archive that the arguments name."""
    output, name = Path(arguments[0]), arguments[1] if len(arguments) > 1 else DEFAULT_NAME
    output.write_bytes(oci_archive(name, [busybox_layer()]))


if __name__ == "__main__":
    main(sys.argv[1:])
