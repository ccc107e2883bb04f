"""`ctr oci spec`."""

from __future__ import annotations

import json

from pycontainerd.commands.ctr import documents
from pycontainerd.commands.ctr.flags import Flag
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("platform", usage="Platform to print the spec for, like linux/arm64"),)
USAGE = ""


async def run(ctx: Context) -> None:
    from pycontainerd.oci import platforms, spec
    from pycontainerd.oci.defaults import default_spec

    wanted = ctx.text("platform")
    try:
        system = platforms.parse(wanted).os if wanted else "linux"
    except Error as error:
        raise error.within("failed to generate spec") from error
    empty = {"ociVersion": spec.VERSION, "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/"}, "root": {"path": ""}}
    if system == "windows":
        documents.show(
            empty | {"process": {"user": {"uid": 0, "gid": 0}, "cwd": "C:\\"}, "windows": {"layerFolders": None}}
        )
    elif system == "darwin":
        documents.show(empty)
    else:
        documents.show(json.loads(spec.encode(default_spec(ctx.namespace, ""))))
