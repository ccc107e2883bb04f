"""`ctr plugins list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycontainerd.commands.ctr import tables
from pycontainerd.commands.ctr.flags import BOOL, Flag

if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.introspection.v1_pb2 import Plugin
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("quiet,q", BOOL, "Print ids only"),
    Flag("detailed,d", BOOL, "Print all that is known, a block for each plugin"),
)
USAGE = "[<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    plugins = await client.introspection.plugins(*ctx.arguments)
    if ctx.flag("quiet"):
        for plugin in plugins:
            ctx.print(plugin.id)
    elif ctx.flag("detailed"):
        _show_details(plugins)
    else:
        rows = [(plugin.type, plugin.id, _platforms(plugin) or "-", _status(plugin)) for plugin in plugins]
        tables.show([("TYPE", "ID", "PLATFORMS", "STATUS"), *rows], tables.WIDE)


def _platforms(plugin: Plugin) -> str:
    from pycontainerd.oci.image import Platform
    from pycontainerd.oci.platforms import format_platform

    return ",".join(format_platform(Platform(p.architecture, p.os, variant=p.variant)) for p in plugin.platforms)


def _status(plugin: Plugin) -> str:
    if not plugin.HasField("init_err"):
        return "ok"
    return "skip" if "skip plugin" in plugin.init_err.message else "error"


def _show_details(plugins: list[Plugin]) -> None:
    import sys

    lines: list[str] = []
    for plugin in plugins:
        if lines:
            lines.append("\t\t\t")
        lines += _block(plugin)
    sys.stdout.write(tables.layout(lines, tables.WIDE))


def _block(plugin: Plugin) -> list[str]:
    lines = [f"Type:\t {plugin.type}", f"ID:\t {plugin.id}"]
    lines += _items("Requires:", list(plugin.requires))
    if plugin.platforms:
        lines.append(f"Platforms:\t {_platforms(plugin)}")
    lines += _items("Exports:", [f"{key} \t {value}" for key, value in sorted(plugin.exports.items())])
    if plugin.capabilities:
        lines.append(f"Capabilities:\t {','.join(plugin.capabilities)}")
    if plugin.HasField("init_err"):
        lines += _items("Error:", [f"Code:\t {_code(plugin.init_err)}", f"Message:\t {plugin.init_err.message}"])
    return lines


def _items(title: str, items: list[str]) -> list[str]:
    return [f"{title}\t", *(f"\t {item}" for item in items)] if items else []


def _code(status: Any) -> str:
    from pycontainerd.rpc.status import Code

    return "".join(word.capitalize() for word in Code(status.code).name.split("_"))
