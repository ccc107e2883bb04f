"""How a task gets into the shim of a sandbox instead of one of its own (runtime-shim.md §4).

The client may tell where the sandbox serves the task API, as its controller has told it: `ttrpc+unix:///run/…`. If it
does not, the bundle of the sandbox's shim does. A shim of version 2 is not joined: its executable is started, and finds
the group by itself.
"""

from __future__ import annotations

from typing import Final

from pycontainerd.errors import Error, NotFound, Unimplemented, Unknown
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.connection import ShimConnection, connect
from pycontainerd.runtime.registry import Registry

JOINABLE: Final = 3
"""The oldest version of a shim that a task joins."""


def endpoint(shims: Registry, namespace: str, sandbox: str, address: str, version: int) -> Bootstrap:
    """Where *sandbox* serves tasks: at *address*, or where its shim does. Raises Unknown, NotFound."""
    if address:
        protocol, plus, rest = address.partition("+")
        if not plus:
            raise Unknown(
                "the scheme of sandbox address should be in the form of <protocol>+<unix|vsock|tcp>, "
                "i.e. ttrpc+unix or grpc+vsock"
            )
        return Bootstrap(version, rest, protocol)
    shim = shims.find(namespace, sandbox)
    if shim is None:
        raise NotFound(f"can't find shim for sandbox {sandbox}")
    return shim.bootstrap


async def dial(bootstrap: Bootstrap, sandbox: str, id_: str) -> ShimConnection:
    """A connection to the shim of *sandbox* for the task *id_*. Raises Unknown, Unimplemented."""
    try:
        return await _dialled(bootstrap, id_)
    except Error as error:
        raise error.within(f'failed to load sandbox task "{sandbox}"') from None


async def _dialled(bootstrap: Bootstrap, id_: str) -> ShimConnection:
    try:
        bootstrap.checked()
    except Unimplemented as error:
        raise error.within(f'failed to read bootstrap.json when restoring bundle "{id_}"') from None
    except Unknown as error:
        raise error.within("unable to make connection") from None
    try:
        return await connect(bootstrap)
    except Error as error:
        raise error.within("unable to make connection") from None
