"""What containers cost with runc and with crun on cgroup version 2, ours beside stock, in a virtual machine.

    .venv/bin/python -m tests.vm.figures [--rounds 5]

The machine is emulated: what a figure is worth is its ratio to the one beside it. Nothing of this is a test.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.runtime.users import User
from tests.integration.tasks.house import Place, spec
from tests.vm.image import build
from tests.vm.machine import Machine

RUNTIMES = ("runc", "crun")
INSIDE = "--inside"


def measure(kind: Kind, base: Path, rootfs: Path, rounds: int) -> None:
    """Prints a line for each runtime: the median of `ctr run --rm` in seconds, and the PSS of a shim at rest."""
    with Daemon.start(kind, base) as daemon:
        user = User(daemon, rootfs)
        for runtime in RUNTIMES:
            binary = ("--runc-binary", runtime, "--config", str(base / "spec.json"))
            write_spec(daemon, rootfs, "/bin/true")
            daemon.run(*binary, "--rm", "warm")
            taken = []
            for number in range(rounds):
                begun = time.perf_counter()
                daemon.run(*binary, "--rm", f"r{number}", by=kind)
                taken.append(time.perf_counter() - begun)
            write_spec(daemon, rootfs, "/bin/sleep", "1000")
            daemon.run(*binary, "-d", "--null-io", "sleeper")
            pss = pss_kb(user.shim("sleeper"))
            user.ctr("task", "rm", "-f", "sleeper")
            user.ctr("containers", "rm", "sleeper")
            print(f"{kind} {runtime}: ctr run --rm {statistics.median(taken):.2f} s, shim {pss} kB PSS", flush=True)


def write_spec(daemon: Daemon, rootfs: Path, *args: str) -> None:
    """Debian's crun refuses the version of the specs that ctr makes."""
    document = spec(daemon.namespace, "c", rootfs, args)
    document["mounts"].append({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"})
    (daemon.base / "spec.json").write_text(json.dumps(document))


def pss_kb(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        base = Path(directory)
        if arguments.inside:
            rootfs = Place(base, "unused").rootfs()
            for kind in (OURS, STOCK):
                measure(kind, base / kind.name, rootfs, arguments.rounds)
        else:
            with Machine.boot(build(base / "image"), base / "machine", cpus=2) as machine:
                print(machine.run_module("tests.vm.figures", INSIDE, "--rounds", arguments.rounds), end="")


if __name__ == "__main__":
    main()
