"""The journal of a task's steps."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.failures import Failures
from pycontainerd.shim import steps
from pycontainerd.shim.steps import Step


def journal(bundle: Path) -> list[Step]:
    return steps.read(str(bundle / steps.NAME))


def test_a_step_tells_how_it_went(tmp_path: Path) -> None:
    with steps.step(str(tmp_path), "well") as step:
        step.result = "pid 7"
    with pytest.raises(ValueError, match="why"), steps.step(str(tmp_path), "badly", by=steps.DAEMON):
        raise ValueError("why")
    steps.note(str(tmp_path), "a moment", "status 3")
    well, badly, moment = journal(tmp_path)
    assert (well.what, well.by, well.result, well.error) == ("well", "shim", "pid 7", "")
    assert (badly.what, badly.by, badly.error) == ("badly", "daemon", "why")
    assert (moment.what, moment.result, moment.took_ns) == ("a moment", "status 3", 0)
    assert well.took_ns is not None
    assert well.at_ns + well.took_ns <= badly.at_ns


def test_a_step_under_way_is_known_by_its_beginning(tmp_path: Path) -> None:
    with steps.step(str(tmp_path), "long"):
        (begun,) = journal(tmp_path)
        assert (begun.what, begun.took_ns) == ("long", None)
    (ended,) = journal(tmp_path)
    assert ended.took_ns is not None


def test_what_is_no_step_is_passed_over(tmp_path: Path) -> None:
    steps.note(str(tmp_path), "one")
    with (tmp_path / steps.NAME).open("ab") as file:
        file.write(b'{"at_ns":1}\n[]\n\xff\n')
    steps.note(str(tmp_path), "two")
    with (tmp_path / steps.NAME).open("ab") as file:
        file.write(b'{"at_ns":17,"what":"tor')
    assert [each.what for each in journal(tmp_path)] == ["one", "two"]


def test_a_journal_is_bounded_and_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    for number in range(2000):
        with steps.step(str(tmp_path), f"step {number}") as step:
            step.error = "x" * (number % 97)
        assert (tmp_path / steps.NAME).stat().st_size <= steps.SIZE_LIMIT + steps.TEXT_LIMIT
    found = [each.what for each in journal(tmp_path)]
    assert found[:3] == ["step 0", "step 1", "step 2"]
    assert found[-2:] == ["step 1998", "step 1999"]
    assert found.count(steps.LEFT_OUT) == 1
    assert all(each.took_ns is not None for each in journal(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [steps.NAME]


def test_texts_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), steps.step(str(tmp_path), "long"):
        raise ValueError("x" * 100_000)
    assert len(journal(tmp_path)[0].error) == steps.TEXT_LIMIT


def test_nothing_is_noted_where_nothing_can_be(tmp_path: Path) -> None:
    with steps.step(str(tmp_path / "gone"), "lost"):
        steps.note(str(tmp_path / "gone"), "lost as well")
    assert not (tmp_path / "gone").exists()
    assert journal(tmp_path / "gone") == []


def test_writers_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    def write(name: str) -> None:
        for number in range(50):
            steps.note(str(tmp_path), f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal(tmp_path)) == 100


def bundle(tmp_path: Path, id_: str) -> Bundle:
    path = tmp_path / "state" / id_
    path.mkdir(parents=True)
    return Bundle("n", id_, str(path), str(tmp_path / "work"))


def test_only_what_has_failed_outlives_its_bundle(tmp_path: Path) -> None:
    failures = Failures(str(tmp_path / "failures"))
    well, badly = bundle(tmp_path, "well"), bundle(tmp_path, "badly")
    steps.note(well.path, "start")
    steps.note(badly.path, "start", error="why")
    for each in (well, badly, bundle(tmp_path, "nothing")):
        failures.keep(each)
    assert steps.read(failures.path("n", "badly"))[0].error == "why"
    assert [path.name for path in (tmp_path / "failures").iterdir()] == ["n:badly"]


def test_failures_are_bounded_and_the_last_of_an_id_counts(tmp_path: Path) -> None:
    failures = Failures(str(tmp_path / "failures"), limit=3)
    for number in range(10):
        failures.note("n", f"c{number}", [Step(number, "start", error="why")])
    failures.note("n", "c9", [Step(77, "start", error="again")])
    assert sorted(path.name for path in (tmp_path / "failures").iterdir()) == ["n:c7", "n:c8", "n:c9"]
    assert [each.at_ns for each in steps.read(failures.path("n", "c9"))] == [77]
