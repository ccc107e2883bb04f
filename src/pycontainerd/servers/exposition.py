"""Metrics as Prometheus reads them; see its text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field

from pycontainerd.servers.http import Answer

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Sample(Struct, frozen=True):
    """One value: its labels, and what is appended to the name of its metric (`_bucket`, `_sum`)."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


class Metric(Struct, frozen=True):
    """A metric with its samples; *kind* is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


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
