"""The commands of ctr: a table of names. What a command does is in the module that its entry names.

A further command is one entry here and one module, which has

    USAGE = "CONTAINER"            what is shown behind `ctr tasks kill [command options] `
    FLAGS = (Flag(...), ...)
    async def run(ctx) -> int | None

so that only the module of the command that runs is loaded.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.flags import Flag


class Entry:
    """A command, or a group of commands."""

    __slots__ = ("children", "flags", "module", "names", "summary")

    def __init__(
        self, names: str, summary: str, module: str = "", children: tuple[Entry, ...] = (), flags: tuple[Flag, ...] = ()
    ) -> None:
        """*names* are separated by commas, the first is the main one; *module* is below this package."""
        self.names = tuple(names.split(","))
        self.summary = summary
        self.module = module
        self.children = children
        self.flags = flags

    @property
    def name(self) -> str:
        return self.names[0]

    def child(self, word: str) -> Entry | None:
        """The command below this one that *word* names."""
        for child in self.children:
            if word in child.names:
                return child
        return None


def _group(names: str, summary: str, *children: Entry, flags: tuple[Flag, ...] = ()) -> Entry:
    return Entry(names, summary, children=children, flags=flags)


def _snapshotter_flags() -> tuple[Flag, ...]:
    from pycontainerd.commands.ctr.common import SNAPSHOTTER

    return (SNAPSHOTTER,)


_DELETE = "delete,del,remove,rm"

ROOT: tuple[Entry, ...] = (
    _group(
        "plugins,plugin",
        "Show the plugins of the daemon",
        Entry("list,ls", "List plugins and how their start went", "plugins.list_"),
    ),
    Entry("version", "Print the versions of client and daemon", "version"),
    _group(
        "containers,c,container",
        "Manage containers",
        Entry("create", "Create a container without running it", "containers.create"),
        Entry(_DELETE, "Delete containers that have no running task", "containers.delete"),
        Entry("info", "Show everything about a container", "containers.info"),
        Entry("list,ls", "List containers", "containers.list_"),
        Entry("label", "Set and clear labels of a container", "containers.label"),
        Entry("checkpoint", "Make an image of a container, to restore it from", "containers.checkpoint"),
        Entry("restore", "Make a container of a checkpoint, and start it", "containers.restore"),
    ),
    _group(
        "content",
        "Manage the blobs of the content store",
        Entry("active", "List ingests under way", "content.active"),
        Entry(_DELETE, "Delete blobs", "content.delete"),
        Entry("get", "Write a blob to standard output", "content.get"),
        Entry("ingest", "Store standard input as a blob", "content.ingest"),
        Entry("list,ls", "List blobs", "content.list_"),
        Entry("label", "Set and clear labels of a blob", "content.label"),
    ),
    Entry("df", "Show how much images take, and what could be freed", "df"),
    Entry("events,event", "Show what happens, as it happens", "events"),
    Entry(
        "gc",
        "Collect what nothing needs",
        "gc.collect",
        children=(Entry("explain", "Show what keeps an image, a blob or a snapshot", "gc.explain"),),
    ),
    _group(
        "images,image,i",
        "Manage images",
        Entry("import", "Import images from an archive", "images.import_"),
        Entry("list,ls", "List images", "images.list_"),
        Entry(_DELETE, "Delete images by name", "images.delete"),
        Entry("tag", "Give an image further names", "images.tag"),
        Entry("label", "Set and clear labels of an image", "images.label"),
    ),
    _group(
        "leases",
        "Manage leases",
        Entry("list,ls", "List leases", "leases.list_"),
        Entry("create", "Create a lease", "leases.create"),
        Entry(_DELETE, "Delete leases", "leases.delete"),
    ),
    _group(
        "namespaces,namespace,ns",
        "Manage namespaces",
        Entry("create,c", "Create a namespace", "namespaces.create"),
        Entry("list,ls", "List namespaces", "namespaces.list_"),
        Entry("remove,rm", "Remove empty namespaces", "namespaces.remove"),
        Entry("label", "Set and clear labels of a namespace", "namespaces.label"),
    ),
    Entry("run", "Run a container", "run"),
    _group(
        "snapshots,snapshot",
        "Manage snapshots",
        Entry("commit", "Commit a writable snapshot under a name", "snapshots.commit"),
        Entry("info", "Show everything about a snapshot", "snapshots.info"),
        Entry("list,ls", "List snapshots", "snapshots.list_"),
        Entry("diff", "Print the layer that makes one snapshot, or its parent, to another", "snapshots.diff"),
        Entry("mounts,m,mount", "Print the commands that mount a snapshot", "snapshots.mounts"),
        Entry("prepare", "Make a writable snapshot", "snapshots.prepare"),
        Entry(_DELETE, "Delete snapshots", "snapshots.delete"),
        Entry("label", "Set and clear labels of a snapshot", "snapshots.label"),
        Entry("tree", "Show snapshots as the tree that they are", "snapshots.tree"),
        Entry("usage", "Show how much snapshots take", "snapshots.usage"),
        Entry("view", "Make a read-only snapshot", "snapshots.view"),
        flags=_snapshotter_flags(),
    ),
    _group(
        "tasks,t,task",
        "Manage tasks: what runs",
        Entry("attach", "Attach to the input and output of a task", "tasks.attach"),
        Entry("checkpoint", "Save the state of a running task", "tasks.checkpoint"),
        Entry(_DELETE, "Delete tasks", "tasks.delete"),
        Entry("exec", "Run one more process in a container", "tasks.exec_"),
        Entry("explain", "Show what was tried for a task, and where it broke", "tasks.explain"),
        Entry("list,ls", "List tasks", "tasks.list_"),
        Entry("kill", "Send a signal to a task (its stop signal, or SIGTERM)", "tasks.kill"),
        Entry("metrics,metric", "Take a sample of a task's metrics", "tasks.metrics"),
        Entry("pause", "Pause a task", "tasks.pause"),
        Entry("ps", "List the processes of a task", "tasks.ps"),
        Entry("resume", "Resume a paused task", "tasks.resume"),
        Entry("start", "Start the task of a container", "tasks.start"),
    ),
    _group(
        "oci",
        "Tools for documents of the Open Container Initiative",
        Entry("spec", "Print the default runtime spec", "oci.spec"),
    ),
    Entry("info", "Show what the daemon says of itself", "info"),
    _group(
        "deprecations",
        "Show deprecated features in use",
        Entry("list", "List warnings about deprecated features", "deprecations.list_"),
    ),
)
