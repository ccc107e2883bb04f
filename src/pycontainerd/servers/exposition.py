"""Metrics as Prometheus reads them; see its text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pycontainerd.measures import Metric
from pycontainerd.servers.http import Answer

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(metrics: Iterable[Metric]) -> Answer:
    """All *metrics*, sorted by name."""
    lines = [line for metric in sorted(metrics, key=lambda metric: metric.name) for line in _lines(metric)]
    return Answer("".join(f"{line}\n" for line in lines), CONTENT_TYPE)


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {_escape(metric.help)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for sample in metric.samples:
        labels = ",".join(f'{name}="{_quote(value)}"' for name, value in sample.labels.items())
        yield f"{metric.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
