"""Gathers the figures of all tasks when somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

from pycontainerd.errors import Unknown
from pycontainerd.log import fields
from pycontainerd.measures import Metric, Sample

_LOG: Final = logging.getLogger(__name__)


class Counted(Protocol):
    """What the control group of one task has counted; *data* is an Any of a metrics message."""

    @property
    def namespace(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def runtime(self) -> str: ...

    @property
    def data(self) -> Any: ...


class Tasks(Protocol):
    """All tasks of the daemon."""

    async def counted(self) -> Sequence[Counted]:
        """What each task has counted; those that can't be asked are left out."""


class CgroupMonitor:
    """The metrics of the tasks that it is told of."""

    def __init__(self, *, silent: bool) -> None:
        """*silent*: there are no metrics of tasks."""
        self._silent = silent
        self._tasks: Tasks | None = None

    def follow(self, tasks: Tasks) -> None:
        """Tells from now on of *tasks*."""
        self._tasks = tasks

    async def measures(self) -> Sequence[Metric]:
        """A gauge of each figure, with a sample of each task."""
        if self._silent or self._tasks is None:
            return ()
        from pycontainerd.monitoring.figures import figures_of  # nobody may ever ask

        gauges: dict[str, tuple[str, list[Sample]]] = {}
        for it in await self._tasks.counted():
            about = {"container_id": it.id, "namespace": it.namespace, "runtime": it.runtime}
            try:
                for figure, values in figures_of(it.data.type_url, it.data.value):
                    _, samples = gauges.setdefault(f"container_{figure.name}", (figure.help, []))
                    samples += [Sample(value, dict(sorted({**about, **labels}.items()))) for value, labels in values]
            except Unknown as error:  # a runtime that counts something else
                _LOG.debug("metrics of a task", extra=fields(id=it.id, namespace=it.namespace, error=error))
        return [Metric(name, "gauge", help_, tuple(samples)) for name, (help_, samples) in gauges.items() if samples]
