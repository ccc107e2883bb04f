"""What a command gets: its flags and arguments, a client, and where to write."""

from __future__ import annotations

import os
import sys
import time

from pycontainerd.errors import DeadlineExceeded, Error, InvalidArgument, Unavailable, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.flags import Value, Values
    from pycontainerd.rpc.blocking_driver import BlockingDriver

CONNECT_TIMEOUT_S = 10.0
QUIET_VARIABLE = "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS"


class ShowHelp(Exception):
    """Raised by a command that shows its help instead of acting."""


class Refused(Unknown):
    """A command that can't be meant so; said before anything is asked of the daemon."""


class Context:
    """One run of a command."""

    def __init__(self, levels: list[Values], arguments: list[str]) -> None:
        self._levels = levels
        self.arguments = arguments
        self._driver: BlockingDriver | None = None
        self._client: Client | None = None
        if self.flag("debug"):
            from pycontainerd.commands.ctr import logs

            logs.debugging = True
        timeout_s = self._value("timeout")
        self._deadline = time.monotonic() + float(timeout_s) if isinstance(timeout_s, float) and timeout_s else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._driver is not None:
            self._driver.close()

    @property
    def driver(self) -> BlockingDriver:
        """What runs this command."""
        if self._driver is None:
            from pycontainerd.rpc.blocking_driver import BlockingDriver

            self._driver = BlockingDriver()
        return self._driver

    def _value(self, name: str) -> Value:
        """The value of a flag: of the command, else of its group, else of the program."""
        for values in reversed(self._levels):
            if name in values:
                return values[name]
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """Whether the command knows a flag *name* at all."""
        return any(name in values for values in self._levels)

    def is_set(self, name: str) -> bool:
        """Whether a flag was given."""
        return any(values.is_set(name) for values in reversed(self._levels) if name in values)

    def flag(self, name: str) -> bool:
        return bool(self._value(name))

    def text(self, name: str) -> str:
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        value = self._value(name)
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

    def integer(self, name: str) -> int:
        value = self._value(name)
        return value if isinstance(value, int) else 0

    def number(self, name: str) -> float:
        value = self._value(name)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def argument(self, place: int) -> str:
        """The argument at *place*, empty if there are fewer."""
        return self.arguments[place] if place < len(self.arguments) else ""

    def needed(self, place: int, what: str) -> str:
        """The argument at *place*. Raises InvalidArgument with *what* as its text if it is missing."""
        value = self.argument(place)
        if not value:
            raise InvalidArgument(what, bare=True)
        return value

    @property
    def address(self) -> str:
        return self.text("address")

    @property
    def namespace(self) -> str:
        return self.text("namespace")

    def remaining_s(self) -> float | None:
        """Seconds until the deadline that `--timeout` sets. Raises DeadlineExceeded after it."""
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("")
        return remaining

    async def client(self, *, warn: bool = True) -> Client:
        """The daemon, connected; the first call logs which deprecated features were used, unless told not to.

        Raises NotFound and Unavailable as `connection.connected` does.
        """
        if self._client is None:
            warn = warn and not _quiet()
            try:
                self._client = await self._connected()
            except Unavailable as error:
                if warn:
                    _failed_to_check(error)
                raise
            if warn:
                await _warn_of_deprecations(self._client)
        return self._client

    async def _connected(self) -> Client:
        from pycontainerd.client.connection import connected

        return await connected(
            self.driver,
            self.address,
            namespace=self.namespace,
            timeout_s=self.number("connect-timeout") or CONNECT_TIMEOUT_S,
            remaining_s=self.remaining_s,
        )

    def print(self, text: str = "") -> None:
        """Writes a line to standard output."""
        sys.stdout.write(f"{text}\n")

    async def snapshotter(self, client: Client) -> str:
        """The snapshotter to use: the flag, else the namespace's label, else overlayfs."""
        return self.text("snapshotter") or await default_snapshotter(client)


def _quiet() -> bool:
    """Whether the environment asks for silence about deprecations."""
    from pycontainerd.commands.ctr.flags import BOOL, parse_value

    try:
        return bool(parse_value(BOOL, os.environ.get(QUIET_VARIABLE, "")))
    except ValueError:
        return False


async def _warn_of_deprecations(client: Client) -> None:
    try:
        warnings = [warning.message for warning in (await client.introspection.server()).deprecations]
    except Error as error:
        _failed_to_check(error)
        return
    if warnings:
        from pycontainerd.commands.ctr import logs

        for warning in warnings:
            logs.warning(f"DEPRECATION: {warning}")


def _failed_to_check(error: Error) -> None:
    from pycontainerd.commands.ctr import logs

    logs.warning("Failed to check deprecations", error=error)


async def default_snapshotter(client: Client) -> str:
    """The snapshotter of a namespace that names none."""
    from pycontainerd.errors import NotFound

    try:
        namespace = await client.namespaces.get(client.namespace)
    except NotFound:
        return "overlayfs"
    return namespace.labels.get("containerd.io/defaults/snapshotter", "") or "overlayfs"
