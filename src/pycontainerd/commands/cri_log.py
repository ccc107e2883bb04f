"""containerd-cri-log, the executable: a logging program for `binary://` that writes logs as Kubernetes reads them."""

from __future__ import annotations

import sys

from pycontainerd.shim.logs import program


def main() -> int:
    """Runs the program: its exit code."""
    return program.main(sys.argv[1:])
