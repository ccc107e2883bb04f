"""The client for code that blocks, derived from the async one.

Every method of every service is there under its name: coroutines become calls, async iterators become
iterators, async contexts become contexts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pycontainerd.client.client import Client
from pycontainerd.client.connection import connected
from pycontainerd.client.session import Api
from pycontainerd.rpc.blocking_driver import BlockingDriver

P = ParamSpec("P")
T = TypeVar("T")


def connect(address: str, *, namespace: str, timeout_s: float | None) -> BlockingClient:
    """See `pycontainerd.client.connect`."""
    driver = BlockingDriver()
    try:
        return BlockingClient(driver.run(connected(driver, address, namespace=namespace, timeout_s=timeout_s)), driver)
    except BaseException:
        driver.close()
        raise


class BlockingClient:
    """A client whose methods block. Not for several threads at once."""

    def __init__(self, client: Client, driver: BlockingDriver) -> None:
        self.wrapped = client
        self._driver = driver

    def call(self, method: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Calls a method of the async client, typed: `blocking.call(blocking.wrapped.images.get, "name")`."""
        return self._driver.run(method(*arguments, **options))

    def in_namespace(self, namespace: str) -> BlockingClient:
        """The same daemon, another namespace."""
        return BlockingClient(self.wrapped.in_namespace(namespace), self._driver)

    def under_lease(self, lease: str) -> BlockingClient:
        """The same client; what is made through it belongs to *lease* as well."""
        return BlockingClient(self.wrapped.under_lease(lease), self._driver)

    def snapshots(self, snapshotter: str) -> Any:
        """The snapshots of one snapshotter."""
        return _Blocking(self.wrapped.snapshots(snapshotter), self._driver)

    @contextmanager
    def leased(self) -> Iterator[BlockingClient]:
        """A client with a lease of its own, which ends with the block."""
        with _entered(self.wrapped.leased(), self._driver) as client:
            yield BlockingClient(client, self._driver)

    def close(self) -> None:
        """Ends the connection, for all clients that share it."""
        self._driver.run(self.wrapped.close())
        self._driver.close()

    def __getattr__(self, name: str) -> Any:
        service = getattr(self.wrapped, name)
        if not isinstance(service, Api):
            raise AttributeError(name)  # noqa: TRY004 - that is what a missing attribute is
        return _Blocking(service, self._driver)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Blocking:
    """An object whose async methods block."""

    __slots__ = ("_driver", "_wrapped")

    def __init__(self, wrapped: Any, driver: BlockingDriver) -> None:
        self._wrapped = wrapped
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return _as_blocking(getattr(self._wrapped, name), self._driver)


def _as_blocking(value: Any, driver: BlockingDriver) -> Any:
    if not inspect.ismethod(value):
        return value

    def blocking(*arguments: Any, **options: Any) -> Any:
        return _awaited(value(*arguments, **options), driver)

    blocking.__name__, blocking.__doc__ = value.__name__, value.__doc__
    return blocking


def _awaited(result: Any, driver: BlockingDriver) -> Any:
    if inspect.iscoroutine(result):
        return driver.run(result)
    if isinstance(result, AbstractAsyncContextManager):
        return _entered(result, driver)
    return _iterated(result, driver) if hasattr(result, "__anext__") else result


def _iterated(iterator: Any, driver: BlockingDriver) -> Iterator[Any]:
    try:
        while True:
            try:
                yield driver.run(_next(iterator))
            except StopAsyncIteration:
                return
    finally:
        if hasattr(iterator, "aclose"):
            driver.run(_closed(iterator))


async def _next(iterator: Any) -> Any:
    return await anext(iterator)


async def _closed(iterator: Any) -> None:
    await iterator.aclose()


@contextmanager
def _entered(context: AbstractAsyncContextManager[Any], driver: BlockingDriver) -> Iterator[Any]:
    async def enter() -> Any:
        return await context.__aenter__()

    async def leave(error: BaseException | None) -> bool | None:
        return await context.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)

    value = driver.run(enter())
    try:
        yield value if isinstance(value, Client) else _wrapped(value, driver)
    except BaseException as error:
        if not driver.run(leave(error)):
            raise
    else:
        driver.run(leave(None))


def _wrapped(value: Any, driver: BlockingDriver) -> Any:
    return _iterated(value, driver) if hasattr(value, "__anext__") else _Blocking(value, driver)
