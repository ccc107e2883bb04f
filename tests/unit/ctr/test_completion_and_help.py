"""Help screens and the hidden completion of our ctr, which need no daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pycontainerd.commands.ctr import app
from pycontainerd.commands.ctr.table import Entry
from tests.harness import peers

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def ctr(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [peers.ours("ctr"), *words], capture_output=True, text=True, env=environment or ENVIRONMENT, check=False
    )
    return done.returncode, done.stdout, done.stderr


def stock(*words: str) -> str:
    return subprocess.run(
        [peers.stock("ctr"), *words], capture_output=True, text=True, env=ENVIRONMENT, check=True
    ).stdout


def paths(entry: Entry = app.PROGRAM, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Entry]]:
    for child in entry.children:
        path = (*above, child.name)
        yield path, child
        yield from paths(child, path)


OWN = (("gc",), ("df",), ("tasks", "explain"))
"""Commands that the original does not have."""

EVERY = [(path, entry) for path, entry in paths() if not any(path[: len(own)] == own for own in OWN)]
LEAVES = [path for path, entry in EVERY if entry.module]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_has_the_original_s_flags(path: tuple[str, ...]) -> None:
    ours = ctr(*path, "-", "--generate-bash-completion")[1].split()
    theirs = stock(*path, "-", "--generate-bash-completion").split()
    # Their mounts can be made by the daemon; ours prints commands.
    missing = {"--temp"} if path == ("snapshots", "mounts") else set()
    assert set(theirs) - set(ours) == missing
    assert set(ours) - set(theirs) == set()


@pytest.mark.parametrize("path", [path for path, _ in EVERY], ids=" ".join)
def test_a_command_has_the_original_s_names(path: tuple[str, ...]) -> None:
    above = stock(*path[:-1], "--generate-bash-completion").split()
    entry = dict(EVERY)[path]
    assert set(entry.names) <= set(above)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ns"], "create c list ls remove rm label help h"),
        (["ns", "cr"], "create c list ls remove rm label help h"),
        (["images", "ls"], "help h"),
        (["run", "--rm", "--r"], (
            "--remap-labels --rlimit-nofile --runtime --runtime-config-path --runc-binary --runc-root"
            " --runc-systemd-cgroup --read-only --rdt-class --rootfs --rootfs-propagation")),
        (["-"], "--debug --address -a --timeout --connect-timeout --namespace -n --help -h --version -v"),
        (["i", "import", "--all"], "--all-platforms"),
        (["tasks", "kill", "-s", "9", "--e"], "--exec-id"),
    ],
)  # fmt: skip
def test_completion_offers_what_may_follow(words: list[str], offered: str) -> None:
    code, out, err = ctr(*words, "--generate-bash-completion")
    assert (code, sorted(out.split()), err) == (0, sorted(offered.split()), "")


def test_completion_for_zsh_describes_commands() -> None:
    out = ctr("ns", "--generate-bash-completion", environment=ENVIRONMENT | {"0": "/bin/zsh"})[1]
    assert out.splitlines()[0] == "create:Create a namespace"


def test_after_two_dashes_nothing_is_completed() -> None:
    assert ctr("ns", "--", "--generate-bash-completion")[0] == app.EXIT_UNKNOWN_COMMAND


@pytest.mark.parametrize("words", [["tasks", "kill", "--help"], ["tasks", "kill", "h"], ["tasks", "help", "kill"]])
def test_help_is_shown_however_it_is_asked_for(words: list[str]) -> None:
    code, out, _ = ctr(*words)
    assert code == 0
    assert out.startswith(
        "NAME:\n   ctr tasks kill - Send a signal to a task (its stop signal, or SIGTERM)\n\n"
        "USAGE:\n   ctr tasks kill [command options] [flags] CONTAINER\n\nOPTIONS:\n"
        "   --signal value, -s value  "
    )
    assert out.endswith("   --help, -h                Show help\n")


def test_the_program_alone_shows_its_commands() -> None:
    code, out, _ = ctr()
    assert code == 0
    assert "   tasks, t, task             Manage tasks: what runs\n" in out
    address = '(default: "/run/containerd/containerd.sock") [$CONTAINERD_ADDRESS]'
    assert f"   --address value, -a value    Socket of the daemon {address}\n" in out


def test_a_group_alone_shows_its_commands() -> None:
    assert "   kill                     " in ctr("tasks")[1]


@pytest.mark.parametrize("path", [path for path, _ in EVERY], ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    code, out, err = ctr(*path, "--help")
    assert (code, err) == (0, "")
    assert f"   ctr {' '.join(path)} - " in out


def test_the_version_names_the_interfaces_and_us() -> None:
    code, out, _ = ctr("--version")
    assert code == 0
    assert out.startswith("ctr pycontainerd v2.3.4+pycontainerd.")
