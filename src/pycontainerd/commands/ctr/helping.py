"""Help screens, laid out as the original's."""

from __future__ import annotations

from pycontainerd.commands.ctr import app, tables
from pycontainerd.commands.ctr.flags import BOOL, DURATION, INTS, STRING, STRINGS, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from pycontainerd.commands.ctr.table import Entry

HELP_SUMMARY = "Shows a list of commands or help for one command"
ABOUT = """ctr works on a containerd daemon from close by: it is for looking and for debugging. Its commands and
their output are those of containerd's own ctr."""


def help_text(entry: Entry, path: list[str], module: ModuleType | None, *, misused: bool = False) -> str:
    """The help of a command or group; after a wrong use it lists the command `help` as well."""
    parts = [("NAME", _name(entry, path)), ("USAGE", _usage(entry, path, module))]
    if entry is app.PROGRAM:
        from pycontainerd.commands.ctr.version import program_version

        parts += [("VERSION", program_version()), ("DESCRIPTION", ABOUT)]
    elif description := getattr(module, "DESCRIPTION", ""):
        parts.append(("DESCRIPTION", description))
    if entry.children or misused:
        parts.append(("COMMANDS", _commands(entry)))
    parts.append(("GLOBAL OPTIONS" if entry is app.PROGRAM else "OPTIONS", _options(app.flags_of(entry, module))))
    return "\n".join(f"{title}:\n{_indented(text)}" for title, text in parts)


def _indented(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.splitlines())


def _name(entry: Entry, path: list[str]) -> str:
    return f"{' '.join(path)} - {entry.summary}" if entry.summary else " ".join(path)


def _usage(entry: Entry, path: list[str], module: ModuleType | None) -> str:
    if entry is app.PROGRAM:
        return "ctr [global options] command [command options]"
    arguments = getattr(module, "USAGE", "")
    return f"{' '.join(path)} [command options]{' ' + arguments if arguments else ''}"


def _commands(entry: Entry) -> str:
    rows = [f"{', '.join(child.names)}\t{child.summary}" for child in entry.children]
    return _columns([*rows, f"help, h\t{HELP_SUMMARY}"])


def _options(flags: tuple[Flag, ...]) -> str:
    return _columns([f"{_form(flag)}\t{_explained(flag)}" for flag in flags if not flag.hidden])


def _columns(rows: list[str]) -> str:
    return tables.layout(rows, tables.HELP)


def _form(flag: Flag) -> str:
    value = " value" if flag.takes_value else ""
    form = ", ".join(f"{'-' if len(name) == 1 else '--'}{name}{value}" for name in flag.names)
    return f"{form} [ {form} ]" if flag.kind in {STRINGS, INTS} else form


def _explained(flag: Flag) -> str:
    text = flag.usage
    if default := _default(flag):
        text += f" (default: {default})"
    return f"{text} [${flag.env}]" if flag.env else text


def _default(flag: Flag) -> str:
    if flag.name in {"help", "version"}:
        return ""
    if flag.shown_default:
        return flag.shown_default
    if flag.kind == BOOL:
        return "true" if flag.default else "false"
    if flag.kind == STRING:
        return f'"{flag.default}"' if flag.default else ""
    if flag.kind == DURATION:
        return duration_text(flag.default if isinstance(flag.default, float) else 0.0)
    return "" if isinstance(flag.default, list) else str(flag.default)


def duration_text(seconds: float) -> str:
    """Whole seconds as Go prints a duration: `24h0m0s`."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
