"""A directory that ends with its process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pycontainerd.system.detached import vanishing_directory


def test_it_holds_files_for_this_process_and_its_children_and_is_mounted_nowhere() -> None:
    with vanishing_directory() as directory:
        (Path(directory) / "below").mkdir()
        (Path(directory) / "below" / "file").write_text("here")
        found = subprocess.run(["cat", f"{directory}/below/file"], check=True, capture_output=True)
        assert found.stdout == b"here"
        assert os.stat(directory).st_mode & 0o777 == 0o700
        device = os.stat(directory).st_dev
        mounted = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
        assert f"{os.major(device)}:{os.minor(device)}" not in mounted
    assert not os.path.exists(f"{directory}/below")
