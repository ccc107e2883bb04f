"""Starting our own shim: forked by the spawner, on a socket that the daemon has bound (design.md, "The spawner").

The daemon listens before the shim exists, so that it can connect at once and the shim accepts when it is there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.errors import Unknown
from pycontainerd.plugin.sections import DEFAULT_SOCKET_DIR
from pycontainerd.runtime.bootstrap import TTRPC, Bootstrap
from pycontainerd.runtime.bundle import LOG, SOCKETS, Bundle
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.model import Payload
from pycontainerd.shim import address, demands
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

    async def start(self, bundle: Bundle, group: str | None, options: Payload | None) -> Bootstrap:
        """A shim for *bundle*: a new process, or the one that serves *group* already.

        Raises Unknown if the socket can't be made or the shim can't run where *options* want it, Unavailable if there
        is no spawner.
        """
        shim_cgroup = _shim_cgroup(options)
        try:
            demands.check(self._about.environment, shim_cgroup)
        except Unknown as error:
            raise error.within("start failed: io.containerd.runc.v2") from error
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
            request = self._request(bundle, path, shim_cgroup)
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

    def _request(self, bundle: Bundle, socket_path: str, shim_cgroup: str) -> ShimRequest:
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
            shim_cgroup=shim_cgroup,
        )


def _shim_cgroup(options: Payload | None) -> str:
    """The control group that options of runc name for the shim, nothing if they are none."""
    if options is None or options.type_url.rpartition("/")[2] != runc_pb2.Options.DESCRIPTOR.full_name:
        return ""
    try:
        return runc_pb2.Options.FromString(options.value).shim_cgroup
    except DecodeError:
        return ""  # the shim says what is wrong with them
