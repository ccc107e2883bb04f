"""The plugin `opt`: a place for programs that the daemon and what it starts find before the system's own."""

from __future__ import annotations

import os
from pathlib import Path

from pycontainerd.config.section import Section
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin


class OptConfig(Section, frozen=True, kw_only=True):
    """`[plugins.'io.containerd.internal.v1.opt']`"""

    path: str = "/opt/containerd"


@plugin(types.INTERNAL, "opt", config=OptConfig)
async def opt(init: Init) -> Path:
    """Makes `bin` and `lib` and puts them first in PATH and LD_LIBRARY_PATH of the process."""
    path = Path(init.config.path)
    init.exports["path"] = str(path)
    for variable, folder in (("PATH", path / "bin"), ("LD_LIBRARY_PATH", path / "lib")):
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        before = os.environ.get(variable)
        os.environ[variable] = f"{folder}:{before}" if before else str(folder)
    return path
