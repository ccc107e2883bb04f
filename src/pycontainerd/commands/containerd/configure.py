"""`containerd config default|dump|migrate`."""

from __future__ import annotations

import os
import sys

from pycontainerd import log
from pycontainerd.commands.containerd.arguments import Arguments
from pycontainerd.config import model
from pycontainerd.config.dump import dump
from pycontainerd.config.load import load
from pycontainerd.plugin.all import registrations


def configure(action: str, arguments: Arguments) -> int:
    """Prints the configuration: the built-in one, or what the files make of it."""
    log.configure("", "")
    plugins = registrations()
    file = model.defaults()
    if action != "default" and os.path.exists(arguments.config):
        file = load(arguments.config, plugins, lenient=True)
    sys.stdout.write(dump(file, plugins))
    return 0
