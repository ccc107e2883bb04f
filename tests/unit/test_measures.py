"""What parts of the daemon count."""

from __future__ import annotations

from pycontainerd.measures import Histogram


def test_a_bucket_counts_what_lies_below_it_too() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(seconds)
    told = [(sample.suffix, dict(sample.labels), sample.value) for sample in histogram.samples()]
    assert told == [
        ("_bucket", {"le": "0.1"}, 2),
        ("_bucket", {"le": "1"}, 3),
        ("_bucket", {"le": "+Inf"}, 4),
        ("_sum", {}, 3.65),
        ("_count", {}, 4),
    ]
