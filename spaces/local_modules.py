"""Finds the modules beside a file that it imports, in the file and in these in turn, without running anything.

Called by ``registry``, for the hash of a model builder, and by ``from_object``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

_OWN_PACKAGES = tuple(Path(__file__).resolve().parents[1] / name for name in ("search", "spaces"))
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def local_modules(file: Path, folders: Iterable[Path]) -> dict[str, Path]:
    """Returns the files of the modules that a file imports from some folders, by module name.

    Imports inside functions count. Modules of the standard library, installed packages and this package are left out,
    as are names that are only known when the code runs.

    Args:
        file: A Python file; none of its own modules.
        folders: The modules' files are in or below one of them.

    Raises:
        OSError: A file cannot be read.
    """
    resolved = tuple(folder.resolve() for folder in folders)
    found: dict[str, Path] = {}
    waiting = [(file, "")]
    while waiting:
        path, package = waiting.pop()
        for name in _imported_names(path, package):
            for module, module_file in _files_of(name):
                if module not in found and module_file != file.resolve() and _is_local(module_file, resolved):
                    found[module] = module_file
                    is_package = module_file.name == "__init__.py"
                    waiting.append((module_file, module if is_package else module.rpartition(".")[0]))
    return found


def _imported_names(file: Path, package: str) -> Iterator[str]:
    """Yields the dotted names that a file's import statements may refer to; some are no modules but their members."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError):  # its import would fail
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*parents, node.module or ""]))
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _files_of(name: str) -> Iterator[tuple[str, Path]]:
    """Yields the modules along a dotted name with their files, as far as they are found on the import path."""
    search_path: Sequence[str] | None = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        try:
            spec = PathFinder.find_spec(module, search_path)
        except (ImportError, ValueError):
            return
        if spec is None:
            return
        if spec.has_location and spec.origin and spec.origin.endswith(".py"):
            yield module, Path(spec.origin).resolve()
        if spec.submodule_search_locations is None:
            return
        search_path = list(spec.submodule_search_locations)


def is_installed_file(file: Path) -> bool:
    """Returns whether a module's file is one of an installed package or of this project."""
    return bool(_INSTALLED.intersection(file.parts)) or any(file.is_relative_to(package) for package in _OWN_PACKAGES)


def _is_local(file: Path, folders: Sequence[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders) and not is_installed_file(file)
