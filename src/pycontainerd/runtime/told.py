"""Which exits clients were told of, kept in the bundle.

Our own shim keeps its exits itself. For a shim of another make the daemon notes what was told, so that the next daemon
does not make the same event from the task's state once more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pycontainerd.api.containerd import events_pb2
from pycontainerd.errors import ResourceExhausted
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.model import Envelope
from pycontainerd.events.once import EXIT
from pycontainerd.log import fields
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.model import Exit
from pycontainerd.runtime.registry import Registry
from pycontainerd.runtime.task_api import exited_at_ns
from pycontainerd.shim import exit_record

_LOG: Final = logging.getLogger(__name__)


async def note_told(exchange: Exchange, shims: Registry) -> None:
    """Notes the exits of foreign shims as they are told; runs as long as the daemon does, whatever fails."""
    while True:
        try:
            async with exchange.subscribe([f'topic=="{EXIT}"']) as envelopes:
                async for envelope in envelopes:
                    await _note(envelope, shims)
        except ResourceExhausted as error:
            _LOG.warning("exits were told that are not noted", extra=fields(error=error))


async def _note(envelope: Envelope, shims: Registry) -> None:
    event = envelope.event
    if not isinstance(event, events_pb2.TaskExit):
        return
    shim = shims.find(envelope.namespace, event.container_id)
    if shim is None or shim.is_ours:
        return
    exit_ = Exit(event.pid, event.exit_status, exited_at_ns(event))
    try:
        await asyncio.to_thread(keep_told, shim.bundle, event.id, exit_)
    except Exception as error:  # noqa: BLE001 - the daemon's task group must not end for a note
        about = fields(id=shim.id, namespace=shim.namespace, error=error)
        _LOG.exception("failed to note that an exit was told", extra=about)


def keep_told(bundle: Bundle, id_: str, exit_: Exit) -> None:
    """Keeps that clients were told of an exit. Nothing happens if the bundle is gone."""
    if id_ in exit_record.read(bundle.path):
        exit_record.mark_delivered(bundle.path, id_)
        return
    record = exit_record.ExitRecord(id_, exit_.pid, exit_.status, exit_.exited_at_ns, delivered=True)
    try:
        exit_record.write(bundle.path, record)
    except FileNotFoundError:
        return  # the task was deleted meanwhile


def recorded(bundle: Bundle) -> Exit | None:
    """How the task of *bundle* ended, if that was kept."""
    record = exit_record.read(bundle.path).get(bundle.id)
    return None if record is None else Exit(record.pid, record.status, record.at_ns)
