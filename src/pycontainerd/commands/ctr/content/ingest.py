"""`ctr content ingest`."""

from __future__ import annotations

import os

from pycontainerd.commands.ctr.flags import INT64, Flag
from pycontainerd.errors import AlreadyExists, Error, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("expected-size", INT64, "Bytes that there must be; 0 for any number"),
    Flag("expected-digest", usage="Digest that they must have"),
)
USAGE = "[flags] <key>"
CHUNK = 1 << 20


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.content.digests import parse_digest

    size, expected = ctx.integer("expected-size"), ctx.text("expected-digest")
    if expected:
        parse_digest(expected)
    ref = ctx.needed(0, "must specify a transaction reference")
    client = await ctx.client()
    try:
        async with client.content.ingest(ref, total=size, expected=expected) as ingest:
            read = ingest.offset
            if read:
                _skip(read)
            while data := os.read(0, CHUNK):
                await ingest.write(data)
                read += len(data)
            if size and read < size:
                raise Unknown(f"short read: expected {size} bytes but got {read}: unexpected EOF")
            try:
                await ingest.commit(size=size, expected=expected)
            except AlreadyExists:
                return
            except Error as error:
                raise error.within(f'failed commit on ref "{ref}": commit failed') from error
    except AlreadyExists:
        return


def _skip(size: int) -> None:
    """Passes over what the ingest has from before."""
    while size and (data := os.read(0, min(size, CHUNK))):
        size -= len(data)
