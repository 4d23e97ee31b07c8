"""Loads spaces: the shipped ones by name, a user's by the path of its file.

A shipped space is imported when it is loaded. Called by the command line, the study and the trainer.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from spaces.domains import AnyNonzero, Value
from spaces.errors import SpaceError, name_hint
from spaces.local_modules import local_modules
from spaces.space import Builder, Space

__all__ = [
    "SPACES",
    "SpaceError",
    "baseline_changes",
    "builder_file",
    "builder_sha256",
    "later_parameters",
    "load",
    "load_builder",
]

SPACES: Mapping[str, str] = MappingProxyType(
    {"mlp": "spaces.mlp:SPACE", "cnn": "spaces.cnn:SPACE", "cnn-large": "spaces.cnn:LARGE"}
)
"""Names of the shipped spaces to where each is defined, as ``module:attribute``."""


def load(source: str) -> Space:
    """Returns a space with its model builder.

    Args:
        source: A name in ``SPACES``, or the path of a ``.py`` file that defines ``SPACE`` or a model builder of Keras
            Tuner.

    Raises:
        SpaceError: There is no such name or file, or the file cannot be used; the text names the line.
    """
    if source in SPACES:
        module, _, attribute = SPACES[source].partition(":")
        space = getattr(importlib.import_module(module), attribute)
        assert isinstance(space, Space)
        return space
    if not source.endswith(".py"):
        hint = name_hint(source, list(SPACES))
        raise SpaceError(f"A space is a known name or the path of a .py file. Received: {source!r}. {hint}")
    from spaces import hypermodels  # shipped spaces need none of it

    path = Path(source).resolve()
    if hypermodels.is_hypermodel_file(path):
        return hypermodels.load_space(path)
    return _validated_space(_run_space_file(path))


def later_parameters(space: Space, source: str) -> dict[str, Value]:
    """Returns the parameters that a shipped space has got since a study of it, at baselines that change nothing.

    Args:
        space: The space as the study recorded it.
        source: As ``baseline_changes`` takes it.
    """
    if source not in SPACES:
        return {}
    return {name: value for name, value in load(source).baseline.items() if name not in space.declared}


def baseline_changes(space: Space, source: str) -> list[str]:
    """Returns how the baseline of a shipped space was changed, such as "batch_size=64 instead of 200".

    Empty for a space of a file, since the file may have been changed. Parameters that do nothing do not count: older
    studies have them. Nor do those of later versions, whose baselines change nothing.

    Args:
        space: The space as it is searched.
        source: What it was loaded from, as ``load`` takes it.
    """
    if source not in SPACES:
        return []
    known = load(source)
    idle = {
        name
        for name, domain in known.declared.items()
        if isinstance(domain.when, AnyNonzero) and not domain.when.holds(space.baseline)
    }
    shipped = {name: value for name, value in known.baseline.items() if name in space.declared}
    searched = {name: value for name, value in space.baseline.items() if name not in idle}
    return [
        f"{name}={searched.get(name, 'none')} instead of {shipped.get(name, 'none')}"
        for name in dict.fromkeys((*shipped, *searched))
        if shipped.get(name) != searched.get(name)
    ]


def load_builder(source: str) -> Builder:
    """Returns the model builder of a space.

    Args:
        source: As ``load`` takes it.

    Raises:
        SpaceError: As ``load``.
    """
    if source.endswith(".py"):
        from spaces import hypermodels

        if hypermodels.is_hypermodel_file(path := Path(source).resolve()):
            return hypermodels.HypermodelBuilder(path=path)  # without discovery
    build = load(source).build
    assert build is not None, "a loaded space has a builder"
    return build


def builder_file(source: str) -> Path:
    """Returns the file that defines a space's model builder; the space's own if the builder has none.

    Args:
        source: As ``load`` takes it.

    Raises:
        SpaceError: As ``load``.
    """
    build = load_builder(source)
    try:
        file = inspect.getsourcefile(inspect.unwrap(build))
    except TypeError:  # a partial or an object that can be called
        file = None
    return Path(file or source)


def builder_sha256(source: str) -> str:
    """Returns the SHA-256 of a space's model builder, 64 hexadecimal digits.

    It is that of the builder's file if this imports no module from its folder or the space's; else it also covers these
    modules. Empty for a builder of this package: the version of the protocol is raised where its networks change.

    Args:
        source: As ``load`` takes it.

    Raises:
        SpaceError: As ``load``, or a file cannot be read.
    """
    file = builder_file(source).resolve()
    if source in SPACES or file.parent == Path(__file__).resolve().parent:
        return ""
    try:
        modules = local_modules(file, (file.parent, Path(source).resolve().parent))
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        parts = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(modules.items())]
    except OSError as error:
        raise SpaceError(
            f"The model builder, or a module that it imports, cannot be read: {error.strerror}. "
            f"Received: {error.filename or file}."
        ) from None
    return hashlib.sha256("\n".join([sha256, *parts]).encode()).hexdigest() if parts else sha256


def _run_space_file(path: Path) -> ModuleType:
    """Runs a user's file as a module under a private name.

    Python's own import would leave a cache file beside it, and could load that instead of the file after a quick edit.
    """
    if not path.is_file():
        raise SpaceError(f"There is no space file {path}.")
    module = ModuleType(f"_space_file_{path}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up here
    try:
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        del sys.modules[module.__name__]
        raise SpaceError(f"The space file {path} cannot be run: {_error_location(error, path)}") from error
    return module


def _validated_space(module: ModuleType) -> Space:
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        received = f"SPACE of type {type(space).__name__}" if hasattr(module, "SPACE") else "no SPACE"
        if callable(getattr(module, "build_model", None)):  # with hp it is Keras Tuner's, and is not read here
            received = "build_model without the argument hp"
        raise SpaceError(
            "A space file must define SPACE = Space(...), or Keras Tuner's build_model(hp) or a HyperModel. "
            f"Received: {received} in {module.__file__}."
        )
    if not callable(space.build):
        raise SpaceError(
            "A space needs a model builder, build(images, config, classes). "
            f"Received: build={space.build!r} in {module.__file__}."
        )
    return space


def _error_location(error: BaseException, path: Path) -> str:
    """Returns the error's type and text, and the line of the file that raised it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{type(error).__name__} on line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{type(error).__name__}{f' on line {lines[-1]}' if lines else ''}: {error}"
