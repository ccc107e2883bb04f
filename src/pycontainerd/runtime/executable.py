"""Shims as executables: `start`, `delete` and `-info` of any shim (runtime-shim.md §2)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError
from msgspec import Struct

from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.api.containerd.types_pb2 import RuntimeInfo
from pycontainerd.errors import Error, Unknown
from pycontainerd.runtime.bootstrap import Bootstrap, Params, encoded, parse_answer
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.command import Completed, run
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.model import Exit, Payload
from pycontainerd.runtime.task_api import exited_at_ns

OPTIONS_ONLY: Final = ("shim-runc-v1", "shim-runhcs-v1")
"""Shims of an age in which a daemon told only the options."""

DELETIONS: Final = 3
"""How often a `delete` that is killed is run."""

SAID_LIMIT: Final = 4096
"""Bytes of what a failed shim has printed that become part of the error."""


class Surroundings(Struct, frozen=True):
    """What every shim of a daemon is told about it."""

    address: str
    ttrpc_address: str
    publish_binary: str
    version: str
    debug: bool
    socket_dir: str
    environment: Mapping[str, str]
    """The daemon's own, with the `env` of the configuration over it."""

    def for_namespace(self, namespace: str) -> dict[str, str]:
        """The environment of a shim in *namespace*. The two numbers are constants that shims expect."""
        return {
            **self.environment,
            "GOMAXPROCS": "2",
            "MAX_SHIM_VERSION": "2",
            "TTRPC_ADDRESS": self.ttrpc_address,
            "GRPC_ADDRESS": self.address,
            "NAMESPACE": namespace,
        }

    def arguments(self, binary: ShimBinary, namespace: str, id_: str) -> list[str]:
        flags = ["-namespace", namespace, "-address", self.address, "-publish-binary", self.publish_binary]
        return [binary.path, *flags, "-id", id_]


async def start(about: Surroundings, binary: ShimBinary, bundle: Bundle, options: Payload | None) -> Bootstrap:
    """Runs the shim's `start`: it leaves a process behind that serves, and says where.

    Raises Unknown with all that it printed if it fails, or what `parse_answer` raises for an answer.
    """
    params = Params(
        id=bundle.id,
        namespace=bundle.namespace,
        address=about.address,
        ttrpc_address=about.ttrpc_address,
        binary=about.publish_binary,
        version=about.version,
        debug=about.debug,
        socket_dir=about.socket_dir,
        options=options,
    )
    only_options = os.path.basename(binary.path).endswith(OPTIONS_ONLY)
    arguments = about.arguments(binary, bundle.namespace, bundle.id)
    try:
        done = await run(
            [*arguments, *(["-debug"] if about.debug else []), "start"],
            cwd=bundle.path,
            env=about.for_namespace(bundle.namespace),
            stdin=encoded(options) if only_options else params.encode(),
            together=True,
        )
    except OSError as error:
        raise Unknown(f"start failed: {_reason(error)}") from error
    if done.code:
        said = done.output[-SAID_LIMIT:].decode(errors="replace")  # as it is: the original cuts no end of line
        raise Unknown(f"start failed: {said}: {done.ending}")
    try:
        return parse_answer(done.output)
    except Error as error:
        raise error.within("start failed") from None


async def delete(
    about: Surroundings, binary: ShimBinary, bundle: Bundle, *, timeout_s: float | None = None
) -> tuple[Exit, bytes]:
    """Runs the shim's `delete`, which removes what a dead shim left: the exit it knows of, and its warnings.

    One that is killed, or that is not done after *timeout_s*, is run again: what it removes must not stay, and may be
    a container that runs. Raises Unknown if it fails, TimeoutError.
    """
    for _ in range(DELETIONS - 1):
        with contextlib.suppress(TimeoutError):
            done = await _delete(about, binary, bundle, timeout_s)
            if not done.killed:
                return _deleted(bundle, done)
    return _deleted(bundle, await _delete(about, binary, bundle, timeout_s))


async def _delete(about: Surroundings, binary: ShimBinary, bundle: Bundle, timeout_s: float | None) -> Completed:
    arguments = about.arguments(binary, bundle.namespace, bundle.id)
    debug = ["-debug"] if about.debug else []
    try:
        return await run(
            [*arguments, "-bundle", bundle.path, *debug, "delete"],
            cwd=bundle.path,
            env=about.for_namespace(bundle.namespace),
            timeout_s=timeout_s,
        )
    except OSError as error:
        raise Unknown(f"delete of shim {bundle.id}: {_reason(error)}") from error


def _deleted(bundle: Bundle, done: Completed) -> tuple[Exit, bytes]:
    if done.code:
        raise Unknown(f"delete of shim {bundle.id}: {_text(done.errors)}: {done.ending}")
    try:
        response = task_pb2.DeleteResponse.FromString(done.output)
    except DecodeError as error:
        raise Unknown(f"delete of shim {bundle.id}: its answer is no DeleteResponse") from error
    return Exit(response.pid, response.exit_status, exited_at_ns(response)), done.errors


async def info(about: Surroundings, binary: ShimBinary, options: Payload | None) -> RuntimeInfo:
    """Runs the shim's `-info`. Raises Unknown if it fails or answers something else."""
    try:
        done = await run(
            [binary.path, "-info"],
            cwd=None,
            env=dict(about.environment),
            stdin=encoded(options),
        )
    except OSError as error:
        raise Unknown(f"failed to run [{binary.path} -info]: {_reason(error)}") from error
    if done.code:
        raise _info_failure(binary, done)
    try:
        return RuntimeInfo.FromString(done.output)
    except DecodeError as error:
        raise Unknown(
            f"failed to unmarshal stdout from [{binary.path} -info] into *types.RuntimeInfo: {error}"
        ) from error


def _info_failure(binary: ShimBinary, done: Completed) -> Unknown:
    return Unknown(f'failed to run [{binary.path} -info]: {done.ending} (stderr: "{_text(done.errors)}")')


def _text(output: bytes) -> str:
    return output[-SAID_LIMIT:].decode(errors="replace").strip()


def _reason(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{(error.strerror or str(error)).lower()}"
