"""`containerd check [--repair]`: looks a root over while no daemon runs on it, and mends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pycontainerd import log
from pycontainerd.checking.model import Finding, Tally
from pycontainerd.checking.root import check, opened
from pycontainerd.commands.containerd.arguments import Arguments
from pycontainerd.commands.containerd.daemon import configured
from pycontainerd.errors import Error
from pycontainerd.plugin.all import registrations

PROBLEMS: Final = 2
"""The exit code if something is wrong and was not mended. 0: nothing is (any more); 1: no check was possible."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def run_check(arguments: Arguments) -> int:
    """Prints a line for each thing that is wrong, and what was looked at."""
    log.configure("", "")
    file = configured(arguments, registrations())
    repair = arguments.flag("repair")
    root, tally = Path(file.root), Tally()
    with opened(root, writing=repair) as connection:
        findings = check(root, Path(file.state), connection, tally)
        left = [finding for finding in findings if not _shown(finding, repair=repair)]
    print(
        f"{root}: {tally.blobs} blobs ({readable(tally.blob_bytes)}), {tally.ingests} ingests,"
        f" {tally.snapshots} snapshots, {tally.mounts} mounts looked at; {_verdict(findings, left, repair=repair)}"
    )
    return PROBLEMS if left else 0


def _verdict(findings: Sequence[Finding], left: Sequence[Finding], *, repair: bool) -> str:
    total = len(findings)
    if not total:
        return "nothing is wrong"
    if repair:
        return f"{total - len(left)} repaired, {len(left)} left"
    size = readable(sum(finding.size for finding in left if finding.mend))
    return f"{total} wrong, a repair would remove {size}"


def _shown(finding: Finding, *, repair: bool) -> bool:
    """Prints *finding* and mends it if asked to; whether it is right now."""
    size = f" ({readable(finding.size)})" if finding.size else ""
    line = f"{finding.what} {finding.name}{size}: {finding.reason}"
    if not repair:
        print(line)
        return False
    if finding.mend is None:
        print(f"{line}: not repaired")
        return False
    try:
        finding.mend()
    except (Error, OSError) as error:
        print(f"{line}: not repaired")
        print(f"containerd: {finding.name}: {error}", file=sys.stderr)
        return False
    print(f"{line}: removed")
    return True


def readable(size: int) -> str:
    """*size* bytes as people read it."""
    number, unit = float(size), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{size} B"
