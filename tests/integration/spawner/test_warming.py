"""What a spawner that is killed while it warms up leaves behind: nothing, since it makes no file that has a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_WARM = """
import sys, tempfile
from pycontainerd.spawner.roles import ROLES
from pycontainerd.spawner.server import load_roles

made = []
def audit(event, arguments):
    if event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "tempfile.mkdtemp", "tempfile.mkstemp"):
        made.append(str(arguments[0]))
    if event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & 0o100:
        made.append(arguments[0])
sys.addaudithook(audit)
roles = load_roles("pycontainerd.spawner.roles:ROLES")
assert not [role for role in roles.values() if isinstance(role, str)], roles
named = [path for path in made if path.startswith("/") and not path.startswith("/proc/")]
assert made and not named, named
"""


def test_no_role_makes_a_file_that_has_a_name(scratch: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", _WARM], capture_output=True, text=True, check=False, timeout=60, cwd=scratch
    )
    assert done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == []
