"""The Python SDK: what a containerd daemon, ours or stock, offers to its clients.

    with connect("/run/containerd/containerd.sock", namespace="default") as containerd:
        for container in containerd.containers.list():
            print(container.id)

Words: a *client* talks to one daemon in one namespace; it has one attribute for each service (`containers`,
`images`, `tasks`, …), and its methods take and return the messages of the wire contract. The methods are
`async def` over whatever driver the connection has (`client.Client`); `connect` gives the same client to code
that blocks (`blocking.BlockingClient`), derived from it, not written twice. Errors are `pycontainerd.errors`.

Nothing here imports an event loop, and a service's messages are loaded when it is first used: command lines
start fast because of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainerd.client.blocking import BlockingClient

__all__ = ["connect"]

DEFAULT_ADDRESS = "/run/containerd/containerd.sock"


def connect(
    address: str = DEFAULT_ADDRESS, *, namespace: str = "default", timeout_s: float | None = 10
) -> BlockingClient:
    """A client of the daemon at the socket *address*, for code that blocks.

    Raises NotFound if there is no such socket, Unavailable if none answers within *timeout_s* seconds.
    """
    from pycontainerd.client import blocking

    return blocking.connect(address, namespace=namespace, timeout_s=timeout_s)
