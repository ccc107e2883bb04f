"""containerd, a container runtime daemon for one Linux machine, in Python.

Start at `docs/architecture.md`: it draws the house, names the process that each folder runs in, and walks one
request and one container start through it.
"""

from typing import Final

VERSION: Final = "0.1.0"
"""Our own version."""

CONTAINERD_VERSION: Final = "v2.3.4"
"""The version of containerd whose interfaces this package speaks."""
