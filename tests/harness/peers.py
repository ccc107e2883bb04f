"""The programs that tests talk to: stock containerd's, as the set-up installed them, and our own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE = Path(os.environ.get("PYCONTAINERD_CACHE", "/opt/pycontainerd-peers"))
STOCK = CACHE / "bin"
OURS = Path(sys.executable).parent


def stock(name: str) -> Path:
    """The stock program *name*. Fails the test if the set-up has not installed it."""
    return _existing(STOCK / name, "run scripts/setup --tests")


def ours(name: str) -> Path:
    """Our program *name*, from the virtual environment that runs the tests."""
    return _existing(OURS / name, "run scripts/setup")


def path_with(first: Path) -> str:
    """A PATH in which the programs of *first* win, and runc is the one of the stock peers."""
    return os.pathsep.join(
        [
            str(first),
            str(STOCK),
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
    )


def _existing(path: Path, mend: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {mend}")
    return path
