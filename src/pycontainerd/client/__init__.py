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

from pycontainerd.client.blocking import connect

__all__ = ["connect"]
