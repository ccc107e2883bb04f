"""The default AppArmor profile: what a container may not touch on its host, whatever its user."""

from __future__ import annotations

import subprocess
from typing import Final

from pycontainerd.errors import FailedPrecondition, InvalidArgument

LOADED_PROFILES: Final = "/sys/kernel/security/apparmor/profiles"
PARSER: Final = "apparmor_parser"
_DENIED_WRITES: Final = (
    "@{PROC}/* w",
    "@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w",
    "@{PROC}/sys/[^k]** w",
    "@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w",
    "@{PROC}/sysrq-trigger rwklx",
    "@{PROC}/mem rwklx",
    "@{PROC}/kmem rwklx",
    "@{PROC}/kcore rwklx",
    "/sys/[^f]*/** wklx",
    "/sys/f[^s]*/** wklx",
    "/sys/fs/[^c]*/** wklx",
    "/sys/fs/c[^g]*/** wklx",
    "/sys/fs/cg[^r]*/** wklx",
    "/sys/firmware/** rwklx",
    "/sys/devices/virtual/powercap/** rwklx",
    "/sys/kernel/security/** rwklx",
)


def is_loaded(name: str) -> bool:
    """Whether the kernel has a profile *name*. Raises OSError where it has no AppArmor."""
    with open(LOADED_PROFILES, encoding="utf-8") as file:
        return any(line.split(" ")[0] == name for line in file)


def load_default_profile(name: str) -> None:
    """Loads the default profile as *name*, unless a profile of that name is loaded.

    Raises InvalidArgument if *name* can't be one, OSError where there is no AppArmor, FailedPrecondition with
    what the parser says if it doesn't take the profile.
    """
    if not name or any(character.isspace() or character in '"{}' for character in name):
        raise InvalidArgument(f'"{name}" is no name of an AppArmor profile')
    if is_loaded(name):
        return
    text = default_profile(name)
    done = subprocess.run([PARSER, "-Kr"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedPrecondition(f"apparmor_parser does not load {name}: {(done.stderr or done.stdout).strip()}")


def default_profile(name: str) -> str:
    """The text of the default profile; see apparmor.d(5)."""
    denied = "".join(f"  deny {rule},\n" for rule in _DENIED_WRITES)
    return f"""#include <tunables/global>

profile {name} flags=(attach_disconnected,mediate_deleted) {{
  #include <abstractions/base>

  network,
  capability,
  file,
  umount,
  deny mount,

  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer={name},
  ptrace (trace,read,tracedby,readby) peer={name},

{denied}}}
"""
