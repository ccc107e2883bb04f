"""Telling the service manager how the daemon is; see sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

from pycontainerd.log import fields

_LOG: Final = logging.getLogger(__name__)

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


class Notifier:
    """Sends states to the socket that the service manager named; does nothing without one."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def of_environment(cls) -> Notifier:
        """Takes the address out of the environment: what we start must not speak for us."""
        return cls(os.environ.pop("NOTIFY_SOCKET", ""))

    def tell(self, state: str) -> None:
        """Sends *state*. A failure is logged: a daemon runs without a supervisor as well."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            _LOG.warning("could not notify the service manager", extra=fields(error=error, state=state))
