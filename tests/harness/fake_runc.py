"""A runc that can do what needs criu, as a stand-in: a checkpoint is a few files, a restore a new container.

Everything else is left to the real one. Each command line is noted in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.harness import peers

_PROGRAM = r"""#!/bin/sh
echo "$@" >> {record}
global=""
while [ $# -gt 0 ]; do
  case $1 in
    --root|--log|--log-format) global="$global $1 $2"; shift 2;;
    --systemd-cgroup) global="$global $1"; shift;;
    *) break;;
  esac
done
command=$1
shift
value() {{ # the argument behind the flag $1 among the others
  flag=$1
  shift
  while [ $# -gt 1 ]; do
    [ "$1" = "$flag" ] && echo "$2" && return
    shift
  done
}}
for id in "$@"; do :; done
case $command in
checkpoint)
  image=$(value --image-path "$@")
  work=$(value --work-path "$@")
  mkdir -p $image/sub $work
  echo "a log" > $work/dump.log
  case $image in *refused*) printf 'criu failed: type NOTIFY errno 0\nmore\n' >&2; exit 1;; esac
  echo core > $image/core-1.img
  echo pages > $image/sub/pages-1.img
  case " $* " in *" --leave-running "*) ;; *) {runc} $global kill $id 9;; esac
  ;;
restore)
  image=$(value --image-path "$@")
  (cd $image && find . -type f | sort) >> {record}
  case $image in *refused*) echo "criu failed: no restore" >&2; exit 1;; esac
  console=$(value --console-socket "$@")
  {runc} $global create --bundle $(value --bundle "$@") --pid-file $(value --pid-file "$@") \
    ${{console:+--console-socket $console}} $id && exec {runc} $global start $id
  ;;
*) exec {runc} $global $command "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class FakeRunc:
    """The program at *path*."""

    path: Path
    record: Path

    @classmethod
    def make(cls, directory: Path) -> FakeRunc:
        fake = cls(directory / "fake-runc", directory / "fake-runc.record")
        fake.path.write_text(_PROGRAM.format(record=fake.record, runc=peers.STOCK / "runc"))
        fake.path.chmod(0o755)
        return fake

    def take(self) -> list[str]:
        """The lines that were noted since the last time."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        self.record.unlink(missing_ok=True)
        return lines
