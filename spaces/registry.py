"""The spaces by name, and the spaces in files of users: ``load`` finds either by what a person types.

A shipped space is imported when it is asked for, never before. Called by the command line, the study and the trainer.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from spaces.errors import SpaceError, unknown_name_error
from spaces.space import Space

__all__ = ["SPACES", "SpaceError", "load"]

SPACES: Mapping[str, str] = MappingProxyType(
    {"mlp": "spaces.mlp", "cnn": "spaces.cnn", "cnn-large": "spaces.cnn_large"}
)
"""Registered names to the modules that define their ``SPACE``."""


def load(source: str) -> Space:
    """Returns a space with its model builder.

    Args:
        source: A name in ``SPACES``, or the path of a ``.py`` file that defines ``SPACE``.

    Raises:
        SpaceError: There is no such name or file, or the file cannot be used; the text says what is wrong where.
    """
    if source in SPACES:
        space = importlib.import_module(SPACES[source]).SPACE
        assert isinstance(space, Space)
        return space
    if not source.endswith(".py"):
        raise unknown_name_error("A space has a known name, or is the path of a .py file.", source, SPACES)
    return _validated_space(_run_space_file(Path(source).resolve()))


def _run_space_file(path: Path) -> ModuleType:
    """Runs a user's file as a module under a private name.

    Python's own import would leave a cache file beside it, and could take that for the file after a quick edit.
    """
    if not path.is_file():
        raise SpaceError(f"There is no space file {path}.")
    module = ModuleType(f"_space_file_{path}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up here
    try:
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # a user's file may raise anything; the cause stays attached
        del sys.modules[module.__name__]
        raise SpaceError(f"The space file {path} cannot be run: {_error_location(error, path)}") from error
    return module


def _validated_space(module: ModuleType) -> Space:
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        received = f"SPACE of type {type(space).__name__}" if hasattr(module, "SPACE") else "no SPACE"
        raise SpaceError(f"A space file must define SPACE = Space(...). Received: {received} in {module.__file__}.")
    if not callable(space.build):
        raise SpaceError(
            "A space needs a model builder, build(images, config, classes). "
            f"Received: build={space.build!r} in {module.__file__}."
        )
    return space


def _error_location(error: BaseException, path: Path) -> str:
    """Returns what was raised, and on which line of the file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{type(error).__name__} on line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{type(error).__name__}{f' on line {lines[-1]}' if lines else ''}: {error}"
