"""Who imports whom, read from the sources without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pycontainerd

PACKAGE = "pycontainerd"
ROOT = Path(pycontainerd.__file__).parent


@dataclass(frozen=True, slots=True)
class Import:
    """One import: of a module of ours by its full name, of another by its first name."""

    target: str
    line: int
    late: bool
    """Whether it stands in a function: done when that is called, not when the module is loaded."""


@cache
def modules() -> dict[str, tuple[Import, ...]]:
    """All modules of the package, except the generated ones, with what they import while the program runs."""
    names = {_name(path): path for path in ROOT.rglob("*.py") if not path.stem.endswith("_pb2")}
    return {name: tuple(_imports(path, name, frozenset(names))) for name, path in sorted(names.items())}


def below(*packages: str) -> list[str]:
    """The modules of *packages*, which are named without the name of ours (`rpc`, `commands.ctr`)."""
    wanted = [f"{PACKAGE}.{package}" for package in packages]
    return [name for name in modules() if any(is_below(name, package) for package in wanted)]


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def reached(start: Iterable[str], *, late: bool = True) -> dict[str, tuple[str, ...]]:
    """Everything that loading *start* loads, each with a chain of imports that leads to it.

    With *late* imports inside of functions count as well.
    """
    chains: dict[str, tuple[str, ...]] = {}
    pending: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in start]
    while pending:
        name, chain = pending.pop(0)
        if name in chains:
            continue
        chains[name] = chain
        for found in modules().get(name, ()):
            if late or not found.late:
                pending.append((found.target, (*chain, found.target)))
    return chains


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, name: str, names: frozenset[str]) -> Iterator[Import]:
    tree = ast.parse(path.read_text(), str(path))
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node, late in _walk(tree, late=False):
        for target in _targets(node, package, names):
            yield Import(target, node.lineno, late)
            # Loading a module loads the packages around it.
            yield from (Import(outer, node.lineno, late) for outer in _outer(target, names))


def _walk(node: ast.AST, *, late: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        elif isinstance(child, ast.If) and _is_for_types(child.test):
            for other in child.orelse:
                yield from _walk(other, late=late)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, late=late or function)


def _is_for_types(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(node: ast.Import | ast.ImportFrom, package: str, names: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name if alias.name.startswith(PACKAGE) else alias.name.partition(".")[0]
        return
    module = node.module or ""
    if node.level:
        base = package.split(".")[: len(package.split(".")) - node.level + 1]
        module = ".".join([*base, module] if module else base)
    if not module.startswith(PACKAGE):
        yield module.partition(".")[0]
        return
    for alias in node.names:
        inner = f"{module}.{alias.name}"
        yield inner if inner in names or alias.name.endswith("_pb2") else module


def _outer(target: str, names: frozenset[str]) -> Iterator[str]:
    while target := target.rpartition(".")[0]:
        if target in names:
            yield target
