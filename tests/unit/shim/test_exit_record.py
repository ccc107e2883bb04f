"""The file of exits in a bundle: what was written is read, whatever a crash has cut."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from pycontainerd.shim import exit_record
from pycontainerd.shim.exit_record import ExitRecord

INIT = ExitRecord("c1", 7, 3, 1_700_000_000_000_000_000)


def test_nothing_is_known_of_a_bundle_without_a_file(tmp_path: Path) -> None:
    assert exit_record.read(str(tmp_path)) == {}


def test_an_exit_is_read_as_it_was_written_and_knows_when_it_was_delivered(tmp_path: Path) -> None:
    exit_record.write(str(tmp_path), INIT)
    assert exit_record.read(str(tmp_path)) == {"c1": INIT}
    exit_record.mark_delivered(str(tmp_path), "c1")
    assert exit_record.read(str(tmp_path))["c1"] == ExitRecord("c1", 7, 3, INIT.at_ns, delivered=True)
    assert os.stat(tmp_path / exit_record.NAME).st_mode & 0o777 == 0o600


def test_a_deleted_exec_is_forgotten(tmp_path: Path) -> None:
    exit_record.write(str(tmp_path), ExitRecord("e1", 8, 0, 1))
    exit_record.remove(str(tmp_path), "e1")
    assert exit_record.read(str(tmp_path)) == {}


def test_a_bundle_that_is_gone_is_an_error_for_an_exit_and_none_for_the_rest(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    exit_record.mark_delivered(gone, "c1")
    exit_record.remove(gone, "c1")
    with pytest.raises(FileNotFoundError):
        exit_record.write(gone, INIT)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_torn_line_hides_nothing_before_it(tmp_path: Path, cut: int) -> None:
    exit_record.write(str(tmp_path), INIT)
    whole = (tmp_path / exit_record.NAME).read_bytes()
    (tmp_path / exit_record.NAME).write_bytes(whole + whole[:cut])
    assert exit_record.read(str(tmp_path)) == {"c1": INIT}


def test_the_file_stays_small_however_many_execs_come_and_go(tmp_path: Path) -> None:
    exit_record.write(str(tmp_path), INIT)
    for number in range(2000):
        exit_record.write(str(tmp_path), ExitRecord(f"e{number}", number, 0, number))
        exit_record.mark_delivered(str(tmp_path), f"e{number}")
        exit_record.remove(str(tmp_path), f"e{number}")
    assert (tmp_path / exit_record.NAME).stat().st_size <= exit_record.COMPACT_SIZE + 200
    assert exit_record.read(str(tmp_path)) == {"c1": INIT}
    assert os.listdir(tmp_path) == [exit_record.NAME]


def test_two_writers_lose_nothing_while_the_file_is_rewritten(tmp_path: Path) -> None:
    def write(kind: str) -> None:
        for number in range(600):
            exit_record.write(str(tmp_path), ExitRecord(f"{kind}{number}", 1, 0, 1))
            if number % 50:
                exit_record.remove(str(tmp_path), f"{kind}{number}")

    threads = [threading.Thread(target=write, args=(kind,)) for kind in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(exit_record.read(str(tmp_path))) == sorted(f"{kind}{n}" for kind in "ab" for n in range(0, 600, 50))


def test_every_line_is_json(tmp_path: Path) -> None:
    exit_record.write(str(tmp_path), INIT)
    exit_record.mark_delivered(str(tmp_path), "c1")
    lines = [json.loads(line) for line in (tmp_path / exit_record.NAME).read_text().splitlines()]
    assert lines == [
        {"id": "c1", "pid": 7, "status": 3, "at_ns": INIT.at_ns},
        {"id": "c1", "delivered": True},
    ]
