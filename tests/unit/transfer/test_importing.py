"""What the daemon refuses of an archive whose members a worker has told it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from pycontainerd.errors import Error, InvalidArgument, Unknown
from pycontainerd.transfer import archive
from pycontainerd.transfer.archive_messages import Broken, End, Event, Member
from pycontainerd.transfer.importing import NAMES_LIMIT, read_archive

NOBODY = cast("Any", None)
"""Whom an archive without files never asks."""
NO_IMAGE = "unrecognized image format"


def refusal(monkeypatch: pytest.MonkeyPatch, events: Iterable[Event]) -> Error:
    """The error that an archive of *events* ends in."""

    async def told() -> AsyncIterator[Event]:
        for event in events:
            yield event

    @asynccontextmanager
    async def opened(*_: object, **__: object) -> AsyncIterator[AsyncIterator[Event]]:
        yield told()

    monkeypatch.setattr(archive, "opened", opened)
    with pytest.raises(Error) as raised:
        asyncio.run(read_archive(NOBODY, NOBODY, NOBODY, NOBODY, sniff=False, force_compress=False))
    return raised.value


def links(size: int) -> list[Event]:
    """Links that have *size* bytes together with their names, two for each character."""
    pieces = [4096] * (size // 4096) + ([size % 4096] if size % 4096 else [])
    return [Member("é" * (piece // 4), link_to="é" * (piece // 4) + "x" * (piece % 4)) for piece in pieces]


def test_names_and_links_that_fill_our_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, [*links(NAMES_LIMIT), End()]).message == NO_IMAGE
    error = refusal(monkeypatch, links(NAMES_LIMIT + 1))
    assert isinstance(error, InvalidArgument)
    assert error.message == "names and links of the archive have more than 16777216 bytes together"


@pytest.mark.parametrize(
    ("broken", "kind", "message"),
    [
        (Broken("too much", refused=True), InvalidArgument, "too much"),
        (Broken("damaged"), Unknown, "damaged"),
        (Broken("unexpected EOF", cut=True), Unknown, "unexpected EOF"),
    ],
)
def test_what_a_worker_finds_is_told(
    monkeypatch: pytest.MonkeyPatch, broken: Broken, kind: type[Error], message: str
) -> None:
    error = refusal(monkeypatch, [Member("directory"), broken])
    assert isinstance(error, kind)
    assert error.message == message
