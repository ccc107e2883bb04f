"""Bringing a whole file system to the disk; see syncfs(2)."""

from __future__ import annotations

import os

from pycontainerd.system.libc import checked, libc


def syncfs(path: str) -> None:
    """Writes out everything that the file system of the directory *path* holds in memory. Blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        checked(libc.syncfs(descriptor), path)
    finally:
        os.close(descriptor)
