"""Reading files and what they import."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.config.load import load
from pycontainerd.config.migrate import migrate
from pycontainerd.config.model import File, defaults
from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.plugin.all import registrations

PLUGINS = registrations()
SCHEDULER = "io.containerd.gc.v1.scheduler"


def write(directory: Path, **texts: str) -> str:
    """Writes files by their names and returns the path of the first."""
    for name, text in texts.items():
        (directory / f"{name}.toml").write_text(text)
    return str(directory / f"{next(iter(texts))}.toml")


def read(directory: Path, **texts: str) -> File:
    return load(write(directory, **texts), PLUGINS)


def test_a_file_is_laid_over_the_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, main='version = 4\nroot = "/r"\nstate = ""\noom_score = -5')
    assert (found.root, found.state, found.oom_score) == ("/r", defaults().state, -5)


def test_imports_are_relative_to_the_file_that_names_them_and_the_later_wins(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.toml").write_text('version = 4\nimports = ["c.toml"]\nroot = "/b"\nstate = "/b"')
    (tmp_path / "sub" / "c.toml").write_text('version = 4\nroot = "/c"')
    found = read(tmp_path, main='version = 4\nroot = "/a"\nimports = ["sub/b*.toml"]')
    assert (found.root, found.state) == ("/c", "/b")
    assert found.imports == (*defaults().imports, "sub/b*.toml", "c.toml")


def test_files_that_import_each_other_are_read_once(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        a='version = 4\nroot = "/a"\nimports = ["b.toml"]',
        b='version = 4\nroot = "/b"\nimports = ["a.toml", "b.toml"]',
    )
    assert found.root == "/b"


def test_a_pattern_that_matches_nothing_is_fine(tmp_path: Path) -> None:
    assert read(tmp_path, main='version = 4\nimports = ["conf.d/*.toml"]').root == defaults().root


def test_a_missing_import_is_an_error_for_a_daemon_and_none_for_printing(tmp_path: Path) -> None:
    path = write(tmp_path, main='version = 4\nimports = ["gone.toml"]')
    with pytest.raises(NotFound, match=r"^open .*/gone\.toml: no such file or directory$"):
        load(path, PLUGINS)
    assert "gone.toml" in load(path, PLUGINS, lenient=True).imports


def test_sections_are_merged_by_key_and_every_value_overrides(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        main='version = 4\nimports = ["drop.toml"]\n[plugins."x.v1".t]\na = 1\nb = 1\nc = [1]\n[plugins."x.v1"]\nd = 5',
        drop='version = 4\n[plugins."x.v1".t]\nb = 0\nc = []\n[plugins."x.v1"]\nd = "text"',
    )
    assert found.plugins["x.v1"] == {"t": {"a": 1, "b": 0, "c": []}, "d": "text"}


def test_outside_of_plugins_nothing_empty_overrides_and_lists_are_united(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        main='version = 4\nimports = ["drop.toml"]\noom_score = 3\ndisabled_plugins = ["a.b", "c.d"]',
        drop='version = 4\noom_score = 0\ndisabled_plugins = ["c.d", "e.f"]',
    )
    assert (found.oom_score, found.disabled_plugins) == (3, ("a.b", "c.d", "e.f"))


def test_timeouts_processors_and_proxies_are_replaced_whole(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        main='version = 4\nimports = ["drop.toml"]\n[proxy_plugins.p]\ntype = "snapshot"\naddress = "/a"',
        drop='version = 4\n[proxy_plugins.p]\ntype = "content"\n[timeouts]\n"io.containerd.timeout.task.state" = "9s"',
    )
    assert (found.proxy_plugins["p"].type, found.proxy_plugins["p"].address) == ("content", "")
    assert found.timeouts["io.containerd.timeout.task.state"] == "9s"
    assert found.timeouts["io.containerd.timeout.shim.load"] == "5s"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("root = [", "failed to unmarshal TOML at row 1 column 9: "),
        ('version = 4\nroot = "x', "failed to unmarshal TOML at row 2 column 10: "),
        ("version = 4\nroot = 5", "root: expected a string, got an integer"),
        ('version = "4"', "version: expected an integer, got a string"),
        ("version = 5", "expected containerd config version equal to or less than `4`, got `5`"),
        ("version = -1", "version: expected a number from 0 to 4, got -1"),
        ('version = 2\ndisabled_plugins = ["cri"]', 'invalid disabled plugin URI "cri" expect io.containerd.x.vx'),
        ('version = 4\nrequired_plugins = ["cri"]', 'invalid required plugin URI "cri" expect io.containerd.x.vx'),
        ("version = 4\n[plugins]\nfoo = 1", "plugins.foo: expected a table, got an integer"),
        (
            f'version = 4\n[plugins."{SCHEDULER}"]\npause_threshold = "x"',
            f"plugins.'{SCHEDULER}'.pause_threshold: expected a float, got a string",
        ),
        (
            'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\ncontainerd = 5',
            "plugins.'io.containerd.grpc.v1.cri'.containerd: expected a table, got an integer",
        ),
    ],
)
def test_a_refusal_names_the_file_the_key_and_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, drop=text)
    main = write(tmp_path, main='version = 4\nimports = ["drop.toml"]')
    with pytest.raises(InvalidArgument) as caught:
        load(main, PLUGINS)
    assert str(caught.value).startswith(f"failed to load TOML from {path}: {reason}")


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.toml").write_bytes(b'root = "\xff"')
    with pytest.raises(InvalidArgument, match="not UTF-8 at byte 8"):
        load(str(tmp_path / "main.toml"), PLUGINS)


def test_the_section_of_a_disabled_plugin_is_not_checked(tmp_path: Path) -> None:
    text = f'version = 4\n[plugins."{SCHEDULER}"]\npause_threshold = "x"'
    found = read(tmp_path, main=f'version = 4\nimports = ["drop.toml"]\ndisabled_plugins = ["{SCHEDULER}"]', drop=text)
    assert found.plugins[SCHEDULER] == {"pause_threshold": "x"}


def test_a_drop_in_may_not_be_newer_than_the_root_file(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgument, match=r"drop\.toml: drop-in config version 3 higher than root config version 2"
    ):
        read(tmp_path, main='version = 2\nimports = ["drop.toml"]', drop="version = 3")


def test_unknown_keys_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = f'version = 4\nfoo = 1\n[debug]\nbar = 2\n[plugins."{SCHEDULER}"]\nbaz = 3'
    with caplog.at_level(logging.WARNING):
        path = write(tmp_path, main=text)
        load(path, PLUGINS)
    told = [(record.getMessage(), about(record)["key"], about(record)["file"]) for record in caplog.records]
    assert told == [
        ("Ignoring unknown key in TOML", "foo", path),
        ("Ignoring unknown key in TOML", "debug bar", path),
        ("Ignoring unknown key in TOML for plugin", "baz", path),
    ]


def about(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = record.__dict__["fields"]
    return fields


def test_migration_leaves_the_file_that_it_was_given() -> None:
    file = File(version=2, plugins={"io.containerd.grpc.v1.cri": {"cni": {"bin_dir": "/b"}}})
    before = repr(file)
    migrated = migrate(file)
    assert repr(file) == before
    assert migrated.plugins["io.containerd.cri.v1.runtime"]["cni"] == {"bin_dirs": ["/b"]}
