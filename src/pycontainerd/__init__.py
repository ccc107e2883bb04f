"""containerd, a container runtime daemon for one Linux machine, in Python.

Start at `docs/architecture.md`: it draws the house, names the process that each folder runs in, and walks one
request and one container start through it.
"""

from typing import Final

from pycontainerd.postponed import postpone

VERSION: Final = "0.1.0"
"""Our own version."""

CONTAINERD_VERSION: Final = "v2.3.4"
"""The version of containerd whose interfaces this package speaks."""

# What our libraries import and hardly ever use is a fifth of all that a command line would load: protobuf without its
# C, the calendar for one function of it, what msgspec tells of types.
for _name in ("google.protobuf.internal.python_message", "calendar", "msgspec.inspect"):
    postpone(_name)
