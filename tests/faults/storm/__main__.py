"""Storms with seeds of one's own: `python -m tests.faults.storm --runs 30`."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import time

from scripts.busybox_image import busybox_layer, oci_archive
from tests.conftest import IMAGE
from tests.faults.storm.plan import Plan
from tests.faults.storm.run import storm
from tests.harness.machine import BASE, MARK, SESSION


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, help="of the first run; the next ones count up")
    parser.add_argument("--containers", type=int, default=500)
    given = parser.parse_args()
    os.environ[MARK] = SESSION
    BASE.mkdir(mode=0o700)
    try:
        return _runs(given.runs, secrets.randbelow(1 << 20) if given.seed is None else given.seed, given.containers)
    finally:
        shutil.rmtree(BASE, ignore_errors=True)


def _runs(runs: int, first: int, containers: int) -> int:
    archive = BASE / "busybox.tar"
    archive.write_bytes(oci_archive(IMAGE, [busybox_layer()]))
    bad = 0
    for seed in range(first, first + runs):
        began = time.monotonic()
        verdict = asyncio.run(storm(BASE / str(seed), archive, Plan.make(seed, containers)))
        took = time.monotonic() - began
        kills = ", ".join(f"{name} {count}" for name, count in sorted(verdict.killed.items()))
        print(f"seed {seed}: {'well' if verdict.well else 'BAD'} after {took:.0f} s; killed: {kills}", flush=True)
        if not verdict.well:
            bad += 1
            print(*verdict.wrong, verdict.left, sep="\n", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
