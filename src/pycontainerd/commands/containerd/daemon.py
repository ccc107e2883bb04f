"""`containerd` without a command: the daemon in the foreground."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycontainerd import log
from pycontainerd.commands.containerd.arguments import DEFAULT_CONFIG, Arguments

if TYPE_CHECKING:
    from pycontainerd.config.model import File
    from pycontainerd.plugin.registration import Registration


def run(arguments: Arguments) -> int:
    """Reads the configuration and runs the daemon until it is told to stop."""
    gc.disable()  # until it has started: what is made up to then stays
    log.configure("", "")
    from pycontainerd.daemon.run import run as run_daemon
    from pycontainerd.daemon.settings import Settings
    from pycontainerd.plugin.all import registrations
    from pycontainerd.plugin.proxies import proxies

    plugins = registrations()
    file = configured(arguments, plugins)
    log.configure(file.debug.level, file.debug.format)
    run_daemon(Settings.of(file), (*plugins, *proxies(file.proxy_plugins)))
    return 0


def configured(arguments: Arguments, plugins: Sequence[Registration]) -> File:
    """What the files and the command line say together."""
    from pycontainerd.config import model
    from pycontainerd.config.load import load
    from pycontainerd.daemon.settings import Overrides

    path = arguments.config
    file = load(path, plugins) if os.path.exists(path) or path != DEFAULT_CONFIG else model.defaults()
    words = {name: arguments.text(name) for name in ("root", "state", "address")}
    return Overrides(**words, log_level=arguments.text("log-level")).over(file)
