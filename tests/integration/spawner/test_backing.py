"""The spawner's memory in a file: nothing is lost by it, and a child gives back what it has not changed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PLAY = """
import gc, os, random, sys
from pathlib import Path
from pycontainerd.spawner import backing
from pycontainerd.spawner.bytecode import ByteCode
from pycontainerd.spawner.settling import settle

def made(seed):
    random.seed(seed)
    return [
        {f"key {random.random()}": [random.randrange(10**6), "x" * random.randrange(600), (i, str(i))], "n": {i: i}}
        for i in range(2000)
    ]

def text(value):
    return repr(value)

def copies():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

def child(seed):
    held = made(seed)
    for turn in range(12):
        copy = [dict(entry) for entry in kept]                  # counts up each reference
        held[random.randrange(len(held))] = made(turn)[:20]     # frees some, makes others
        scattered = [bytes(random.randrange(2000)) for _ in range(500)]
        kept[turn * 7] = {"new": scattered}                     # frees what lies in the file
        gc.collect(turn % 3)
        del copy, scattered
        before = copies()
        if backing.drop_unchanged() <= 0 or copies() > before:
            return 1
        kept[turn * 7] = made(1)[turn * 7]
    return 0 if text(kept) == expected and text(made(seed)) == text(made(seed)) else 2

kept = made(1)
expected = text(kept)
gc.disable(); gc.collect()
holes = settle()
gc.freeze()
assert backing.back(ByteCode())
for seed in range(2):
    pid = os.fork()
    if not pid:
        gc.enable()
        os._exit(child(seed))
    assert os.waitpid(pid, 0)[1] == 0, seed
assert text(kept) == expected
"""


@pytest.mark.parametrize("hashing", ["0", "1"])
def test_children_of_a_process_in_a_file_work_and_drop_copies_again_and_again(hashing: str) -> None:
    environment = {"PYTHONHASHSEED": hashing}
    done = subprocess.run(
        [sys.executable, "-c", PLAY], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


REST = """
import gc, os
from pathlib import Path
from pycontainerd.spawner import backing
from pycontainerd.spawner.bytecode import ByteCode

def copies():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

kept = [[str(number)] for number in range(100_000)]
gc.disable()
gc.collect()
gc.freeze()
assert backing.back(ByteCode())
pid = os.fork()
if not pid:
    before = copies()
    again = list(kept), [entry[0] for entry in kept]
    del again
    touched = copies()
    backing.drop_unchanged()
    print(before, touched, copies(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_what_was_only_referred_to_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", REST], capture_output=True, text=True, timeout=60, check=True)
    before, touched, after = (int(number) for number in done.stdout.split())
    assert touched - before > 10_000  # KiB: each of the objects has a count that was written
    assert after - before < 2_000


BLIND = """
import os
from pycontainerd.spawner import backing
from pycontainerd.spawner.bytecode import ByteCode

real = os.open
os.open = lambda path, *how: real("/nowhere" if path.endswith("pagemap") else path, *how)
print(backing.back(ByteCode()), backing.drop_unchanged())
"""


def test_without_a_view_of_its_pages_a_process_goes_on_as_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", BLIND], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False 0\n"
