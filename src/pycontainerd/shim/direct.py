"""The executable without an action: a shim in the process that was executed, on descriptor 3 or a path."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import NoReturn

from pycontainerd.shim import address, child
from pycontainerd.shim.bootstrap import open_log
from pycontainerd.shim.messages import ShimRequest
from pycontainerd.shim.rehearsal import rehearse

_INHERITED = 3


def serve_here(program: str, flags: Mapping[str, str]) -> NoReturn:
    """Serves until a shutdown is asked for, then ends the process. Raises OSError without a socket."""
    path = flags.get("socket", "")
    listening = address.listen(path) if path else _inherited()
    if listening is None:
        raise OSError(f"{path}: served by a living shim")
    request = ShimRequest(
        namespace=flags["namespace"],
        id=flags.get("id", ""),
        address=flags.get("address", ""),
        ttrpc_address=os.environ.get("TTRPC_ADDRESS", ""),
        bundle=os.getcwd(),
        socket_path=path or listening.getsockname(),
        env=dict(os.environ),
        debug="debug" in flags,
        publish_binary=flags.get("publish-binary", ""),
        executable=program,
    )
    fds = [listening.detach()]
    log = open_log(request.bundle)
    if log >= 0:
        fds.append(log)
    rehearse(plays=1)
    child.serve_request(request, fds)
    sys.exit(0)


def _inherited() -> socket.socket:
    listening = socket.socket(fileno=_INHERITED)
    listening.set_inheritable(False)
    return listening
