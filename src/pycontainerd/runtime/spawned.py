"""Starting our own shim: forked by the spawner, on a socket that the daemon has bound (design.md, "The spawner").

The daemon listens before the shim exists, so that it can connect at once and the shim accepts when it is there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final, Protocol

from pycontainerd.errors import Unknown
from pycontainerd.plugin.sections import DEFAULT_SOCKET_DIR
from pycontainerd.runtime.bootstrap import TTRPC, Bootstrap
from pycontainerd.runtime.bundle import LOG, SOCKETS, Bundle
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.shim import address
from pycontainerd.shim.messages import ShimRequest, encode
from pycontainerd.spawner.client import Child
from pycontainerd.spawner.messages import Setting, soft_limits

SHIM_API: Final = 3
OOM_RAISE: Final = 1
"""A shim is a little more likely to be killed than the daemon."""


class Spawner(Protocol):
    """What is asked of the spawner."""

    async def start_shim(self, setting: Setting, request: bytes, fds: Sequence[int]) -> Child:
        """A process that serves shim calls on the first of *fds*, a listening socket, and logs to the second.

        The caller keeps *fds* and owns the child's pidfd. Raises Unavailable if the spawner refuses, OSError.
        """


class OurShims:
    """Starts shims that are ours."""

    def __init__(self, about: Surroundings, spawner: Spawner) -> None:
        self._about = about
        self._spawner = spawner
        self._socket_dir = about.socket_dir or DEFAULT_SOCKET_DIR
        self._soft_limits = soft_limits()

    def socket_path(self, namespace: str, group: str) -> str:
        """Where the shim of *group*, the task's id if it is in none, listens (runtime-shim.md §3)."""
        return address.socket_path(self._socket_dir, self._about.address, namespace, group)

    def bootstrap(self, namespace: str, group: str) -> Bootstrap:
        """Where the shim of *group* serves, and what."""
        return Bootstrap(SHIM_API, f"unix://{self.socket_path(namespace, group)}", TTRPC)

    async def start(self, bundle: Bundle, group: str | None) -> Bootstrap:
        """A shim for *bundle*: a new process, or the one that serves *group* already.

        Raises Unknown if the socket can't be made, Unavailable if there is no spawner.
        """
        bootstrap = self.bootstrap(bundle.namespace, group or bundle.id)
        path = bootstrap.address.removeprefix("unix://")
        try:
            os.symlink(self._socket_dir, bundle.file(SOCKETS))
            listener = address.listen(path)
        except OSError as error:
            raise Unknown(f"start failed: socket of shim {bundle.id}: {error}") from error
        if listener is None:
            return bootstrap
        with listener:
            log = os.open(bundle.file(LOG), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            request = self._request(bundle, path)
            setting = Setting(
                environment=None,  # the request has it
                directory=bundle.path,
                title=tuple(request.arguments),
                oom_raise=OOM_RAISE,
                soft_limits=self._soft_limits,
            )
            try:
                child = await self._spawner.start_shim(setting, encode(request), [listener.fileno(), log])
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                if isinstance(error, OSError):
                    raise Unknown(f"start failed: spawner: {error}") from error
                raise
            finally:
                os.close(log)
        os.close(child.pidfd)  # the connection tells when it ends
        return bootstrap

    def _request(self, bundle: Bundle, socket_path: str) -> ShimRequest:
        about = self._about
        return ShimRequest(
            namespace=bundle.namespace,
            id=bundle.id,
            address=about.address,
            ttrpc_address=about.ttrpc_address,
            bundle=bundle.path,
            socket_path=socket_path,
            env=about.for_namespace(bundle.namespace),
            debug=about.debug,
            publish_binary=about.publish_binary,
        )
