"""Which tasks a request for figures means."""

from __future__ import annotations

import pytest

from pycontainerd.errors import Unknown
from pycontainerd.tasks.metrics import wanted


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ([], ["one", "two"]),
        (["id==one"], ["one"]),
        (["id==one", "id==two"], ["one", "two"]),
        (["namespace==ns"], ["one", "two"]),
        (["namespace==other"], []),
        (["id~=^t,namespace==ns"], ["two"]),
        (["labels.x==y"], []),
    ],
)
def test_a_filter_means_tasks_by_id_and_namespace(filters: list[str], ids: list[str]) -> None:
    means = wanted(filters, "ns")
    assert [id_ for id_ in ("one", "two") if means(id_)] == ids


def test_a_bad_filter_is_refused_as_the_original_does_it() -> None:
    with pytest.raises(Unknown) as error:
        wanted(["~~"], "ns")
    assert error.value.wire_text() == "filters: parse error: [ >|~|< ~]: expected field or quoted: invalid argument"
