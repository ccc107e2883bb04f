"""Generates the Python modules of the wire contract from the .proto files when the package is built."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parent / "src"
API = SOURCES / "pycontainerd" / "api"


def generate() -> None:
    """Writes a `_pb2.py` and a typed `_pb2.pyi` beside each .proto file that is newer than they are."""
    include = [str(SOURCES), str(files("grpc_tools") / "_proto"), str(_googleapis())]
    stale = [str(path.relative_to(SOURCES)) for path in sorted(API.rglob("*.proto")) if _is_stale(path)]
    if not stale:
        return
    arguments = [
        "protoc",
        *(f"-I{path}" for path in include),
        f"--python_out={SOURCES}",
        f"--pyi_out={SOURCES}",
    ]
    if protoc.main([*arguments, *stale]) != 0:
        sys.exit("protoc refused a file of the wire contract")


def _is_stale(proto: Path) -> bool:
    made = proto.with_name(proto.stem + "_pb2.py")
    return not made.exists() or made.stat().st_mtime < proto.stat().st_mtime


def _revision() -> str:
    """The commit that the tree is at, with `.m` if it was modified; empty outside of a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--match=nothing", "--dirty=.m"]
    try:
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _googleapis() -> Path:
    import google.rpc

    return Path(google.rpc.__path__[0]).parent.parent


class GenerateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel or an editable install is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        generate()
        revision = _revision()
        if version != "editable" and revision:  # a working tree moves on; a file in it would not
            path = Path(self.directory) / "REVISION"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(revision)
            build_data["force_include"][str(path)] = "pycontainerd/REVISION"


if __name__ == "__main__":
    generate()
