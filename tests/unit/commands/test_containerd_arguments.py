"""The command line of `containerd`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pycontainerd.commands.containerd import main
from pycontainerd.commands.containerd.arguments import Arguments, Misused, NoTopic, parse
from pycontainerd.version import version


@pytest.mark.parametrize(
    ("words", "command", "values"),
    [
        ("", (), {}),
        ("--config /c --root=/r", (), {"config": "/c", "root": "/r"}),
        ("-config /c -a /s -l debug", (), {"config": "/c", "address": "/s", "log-level": "debug"}),
        ("-c= config dump", ("config", "dump"), {"config": ""}),
        ("--state /s --", (), {"state": "/s"}),
        ("-a /s publish --topic /t --namespace n", ("publish",), {"address": "/s", "topic": "/t", "namespace": "n"}),
    ],
)
def test_flags_are_read_as_go_reads_them(words: str, command: tuple[str, ...], values: dict[str, str]) -> None:
    found = parse(words.split())
    assert (found.command, found.values, found.help) == (command, values, False)


def test_words_behind_a_hook_are_its_program() -> None:
    assert parse(["oci-hook", "--", "/bin/true", "--id", "{{id}}"]).rest == ("/bin/true", "--id", "{{id}}")
    assert parse(["oci-hook", "/bin/true", "-h"]).rest == ("/bin/true", "-h")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("-h", ()),
        ("help", ()),
        ("h", ()),
        ("--version=false help", ()),
        ("config", ("config",)),
        ("help config", ("config",)),
        ("config help dump", ("config", "dump")),
        ("config dump -h", ("config", "dump")),
        ("config default help", ("config", "default")),
        ("publish help", ("publish",)),
    ],
)
def test_help_is_asked_for_in_many_ways(words: str, command: tuple[str, ...]) -> None:
    assert parse(words.split()) == Arguments(command, parse(words.split()).values, help=True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--nope", "flag provided but not defined: -nope"),
        ("--config", "flag needs an argument: -config"),
        ("--version=x", 'invalid boolean value "x" for -version: parse error'),
        ("config -v", "flag provided but not defined: -v"),
        ("---x", "bad flag syntax: ---x"),
        ("publish --topic", "flag needs an argument: -topic"),
    ],
)
def test_a_flag_that_cannot_be_read_is_refused(words: str, reason: str) -> None:
    with pytest.raises(Misused) as caught:
        parse(words.split())
    assert str(caught.value) == reason


@pytest.mark.parametrize("words", ["foo", "config foo", "help foo", "config help foo"])
def test_a_word_that_is_no_command_is_named(words: str) -> None:
    with pytest.raises(NoTopic) as caught:
        parse(words.split())
    assert str(caught.value) == "foo"


def test_a_stray_word_ends_with_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["foo"]) == 3
    assert capsys.readouterr().err == "No help topic for 'foo'\n"


def test_a_wrong_flag_ends_with_one_and_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--nope"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "Incorrect Usage: flag provided but not defined: -nope\n\nNAME:\n   containerd config"
    )
    assert printed.err == "containerd: flag provided but not defined: -nope\n"


def test_the_version_has_its_place_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["containerd", "pycontainerd", version()]


def test_help_names_every_command_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for word in ("config", "publish", "oci-hook", "--log-level value, -l value", "--version, -v"):
        assert word in printed


@pytest.mark.parametrize("words", ["--version", "--help", "publish", "--nope"])
def test_small_commands_load_no_daemon(words: str) -> None:
    code = (
        "import sys\n"
        "from pycontainerd.commands.containerd import main\n"
        f"main({words.split()!r})\n"
        "loaded = {'asyncio', 'msgspec', 'pycontainerd.plugin', 'pycontainerd.daemon', 'sqlite3'} & set(sys.modules)\n"
        "print(sorted(loaded), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_config_file_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nonexistent/c.toml"]) == 1
    assert capsys.readouterr().err == "containerd: open /nonexistent/c.toml: no such file or directory\n"
