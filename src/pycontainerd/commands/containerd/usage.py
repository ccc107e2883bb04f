"""What `containerd help` prints."""

from __future__ import annotations

from typing import Final

from pycontainerd.commands.containerd.arguments import FLAGS, Command
from pycontainerd.version import version

_ABOUT: Final[dict[Command, str]] = {
    (): "a container runtime daemon for one Linux machine",
    ("config",): "Information on the containerd config",
    ("config", "default"): "See the output of the default config",
    ("config", "dump"): "See the output of the final main config with imported in subconfig files",
    ("config", "migrate"): "Migrate the current configuration file to the latest version "
    "(does not migrate subconfig files)",
    ("check",): "Look a root over while no daemon runs on it: blobs, snapshots, mounts, and what is recorded of them",
    ("publish",): "Binary to publish events to containerd",
    ("oci-hook",): "Provides a base for OCI runtime hooks to allow arguments to be injected.",
}
_FLAGS: Final[dict[str, str]] = {
    "config": 'Path to the configuration file (default: "/etc/containerd/config.toml")',
    "log-level": "Set the logging level [trace, debug, info, warn, error, fatal, panic]",
    "address": "Address for containerd's GRPC server",
    "root": "containerd root directory",
    "state": "containerd state directory",
    "repair": "Remove what is broken or orphaned; a new pull brings broken blobs again",
    "namespace": "Namespace to publish to",
    "topic": "Topic of the event",
    "help": "Show help",
    "version": "Print the version",
}
_BOOLEANS: Final = ("repair", "help", "version")


def usage(command: Command) -> str:
    """The help of *command*; of the whole program for the empty one."""
    below = [name for name in FLAGS if name and name[:-1] == command]
    kind = "OPTIONS" if command else "GLOBAL OPTIONS"
    line = " ".join(("containerd", *command))
    sections = [
        f"NAME:\n   {line} - {_ABOUT[command]}",
        f"USAGE:\n   {line} {'[command options]' if command else '[global options] command [command options]'}",
    ]
    if not command:
        sections.append(f"VERSION:\n   {version()}")
        sections.append("DESCRIPTION:\n   Without a command the daemon runs in the foreground.")
    if below:
        rows = [(name[-1], _ABOUT[name]) for name in below]
        rows.append(("help, h", "Shows a list of commands or help for one command"))
        sections.append("COMMANDS:\n" + _columns(rows))
    sections.append(f"{kind}:\n" + _columns([(_spelling(flag, command), _FLAGS[flag]) for flag in _flags(command)]))
    return "\n\n".join(sections)


def _flags(command: Command) -> list[str]:
    names = dict.fromkeys(FLAGS[command].values())
    return sorted(names, key=lambda name: name in _BOOLEANS)


def _spelling(flag: str, command: Command) -> str:
    names = sorted((name for name, meant in FLAGS[command].items() if meant == flag), key=len, reverse=True)
    value = "" if flag in _BOOLEANS else " value"
    return ", ".join(f"{'--' if len(name) > 1 else '-'}{name}{value}" for name in names)


def _columns(rows: list[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"   {left:<{width}}  {right}" for left, right in rows)
