"""The command lines of checkpoint and restore; runc and criu do the work."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.shim.creation import CreateTask


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How a container is written to a directory."""

    path: str
    work_path: str = ""
    exit: bool = False
    flags: tuple[str, ...] = ()

    @classmethod
    def parse(cls, path: str, options: Any) -> Checkpoint:
        """*options* is the Any of a request. Raises InvalidArgument for another type or broken bytes."""
        if not options.type_url:
            return cls(path)
        name = runc_pb2.CheckpointOptions.DESCRIPTOR.full_name
        if options.type_url.rpartition("/")[2] != name:
            raise InvalidArgument(f"checkpoint options of type {options.type_url} are no {name}")
        try:
            parsed = runc_pb2.CheckpointOptions.FromString(options.value)
        except DecodeError as error:
            raise InvalidArgument(f"checkpoint options: {error}") from error
        flags = {
            "--tcp-established": parsed.open_tcp,
            "--ext-unix-sk": parsed.external_unix_sockets,
            "--shell-job": parsed.terminal,
            "--file-locks": parsed.file_locks,
        }
        wanted = [flag for flag, on in flags.items() if on]
        for namespace in parsed.empty_namespaces:
            wanted += ["--empty-ns", namespace]
        return cls(path, parsed.work_path, parsed.exit, tuple(wanted))


@contextlib.contextmanager
def working(bundle: str, how: Checkpoint) -> Iterator[str]:
    """Where criu works; removed with the block if the request names no place."""
    work = how.work_path or os.path.join(bundle, "work", "criu-work")
    try:
        yield work
    finally:
        if not how.work_path:
            shutil.rmtree(work, ignore_errors=True)


def keep_log(bundle: str, work: str) -> str:
    """The path at which the log of a dump that failed outlives it, if criu has written one."""
    path = os.path.join(bundle, "criu-dump.log")
    with contextlib.suppress(OSError):
        shutil.copyfile(os.path.join(work, "dump.log"), path)
    return path


def checkpoint_arguments(request: CreateTask, how: Checkpoint, work: str) -> list[str]:
    """`runc checkpoint …`"""
    arguments = ["checkpoint", "--image-path", how.path, "--work-path", work, *how.flags]
    if not how.exit:
        arguments.append("--leave-running")
    return [*arguments, request.id]


def restore_arguments(request: CreateTask, pid_file: str, console_socket: str) -> list[str]:
    """`runc restore …`"""
    options = request.options
    work = options.criu_work_path or os.path.join(request.bundle, "work")
    arguments = ["restore", "--image-path", request.checkpoint, "--work-path", work]
    if request.parent_checkpoint:
        arguments += ["--parent-path", request.parent_checkpoint]
    arguments += ["--detach", "--pid-file", pid_file, "--no-subreaper"]
    if options.no_pivot_root:
        arguments.append("--no-pivot")
    if console_socket:
        arguments += ["--console-socket", console_socket]
    return [*arguments, "--bundle", request.bundle, request.id]
