"""Media types of layers, and which of them we can make plain; see media-types.md of the OCI image specification."""

from __future__ import annotations

from typing import Final

from pycontainerd.errors import Unknown

PLAIN: Final = "application/vnd.oci.image.layer.v1.tar"

_DOCKER: Final = "application/vnd.docker.image.rootfs."
_DOCKER_LAYERS: Final = frozenset(
    {
        f"{_DOCKER}diff.tar",
        f"{_DOCKER}diff.tar.gzip",
        f"{_DOCKER}diff.tar.zstd",
        f"{_DOCKER}foreign.diff.tar",
        f"{_DOCKER}foreign.diff.tar.gzip",
    }
)
_OCI_LAYERS: Final = frozenset({PLAIN, "application/vnd.oci.image.layer.nondistributable.v1.tar"})


def is_compressed(media_type: str) -> bool:
    """Whether a layer of this type may be compressed, which its first bytes then tell.

    A type with a further suffix (`+encrypted`) is the work of a processor; without one it is taken as plain, as the
    original does. Raises Unknown, with the original's words, for a type that is no layer.
    """
    base, *suffixes = media_type.split("+")
    if base in _DOCKER_LAYERS:
        return not suffixes
    if base in _OCI_LAYERS:
        return max(suffixes, default="") in {"gzip", "zstd"}
    raise Unknown(f"failed to get stream processor for {media_type}: no processor for media-type")
