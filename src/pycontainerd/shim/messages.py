"""What a shim is started with: the one value that daemon, executable and spawner pass on.

The descriptors that go with it are the listening socket and, if the bundle's `log` fifo is open, its writing end
(-1 if not).
"""

from __future__ import annotations

import msgspec


class ShimRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shim to be."""

    namespace: str
    id: str
    address: str
    """The daemon's gRPC socket."""
    ttrpc_address: str
    """Where events are forwarded to; nothing: they are dropped."""
    bundle: str
    """The directory of the first task; the shim's working directory."""
    socket_path: str
    """The socket that the shim serves, and removes when it ends."""
    env: dict[str, str] = {}
    """The whole environment of the shim, which its runc gets as well."""
    debug: bool = False
    publish_binary: str = ""
    shim_cgroup: str = ""
    """The control group to join, from the root of the hierarchies; nothing: stay."""
    executable: str = "containerd-shim-runc-v2"
    """What the title shows as the program."""

    @property
    def arguments(self) -> list[str]:
        """The title: what the original shows in `ps`."""
        debug = ["-debug"] if self.debug else []
        flags = ["-namespace", self.namespace, "-id", self.id, "-address", self.address]
        return [self.executable, *flags, *debug]


def encode(request: ShimRequest) -> bytes:
    """The bytes that go to the spawner."""
    return msgspec.json.encode(request)


def decode(data: bytes) -> ShimRequest:
    """The request in *data*. Raises msgspec.ValidationError."""
    return msgspec.json.decode(data, type=ShimRequest)
