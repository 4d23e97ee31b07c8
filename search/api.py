"""The Python API: runs with the options of the command line.

Example::

    import search

    study = search.run("cnn", trials=20, batch_size=64, filters_1=(16, 48))
    study.best_config, study.best_error
    model = study.model()

    search.run(build_model, data=(x_train, y_train))  # Keras Tuner's function of hp
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from search.data.arrays import save_arrays
from search.errors import SearchError, UserError, unknown_name
from search.files import write_atomic
from search.session.callbacks import Callback
from search.session.notebook_progress import NotebookProgress, is_notebook
from search.session.plan import make_plan
from search.session.run import run_baseline, run_plan
from search.session.settings import Settings, from_mapping, to_study_name
from search.session.study import Study
from spaces import from_object, registry

__all__ = ["Study", "baseline", "run"]

OPTION = re.compile(r"--([a-z][a-z-]*[a-z])(?: ([A-Z0-9][A-Za-z0-9:]*(?:\.[0-9]+)?))?")
"""An option of the command line in an error, with its value if that begins with a digit or a capital letter."""

_OPTIONS = {field.name: field for field in dataclasses.fields(Settings)}


def run(
    space: Any = "cnn",
    *,
    data: Sequence[Any] | str | Path | None = None,
    progress: Callback | bool | None = None,
    **options: Any,
) -> Study:
    """Searches, verifies, writes the reports, and returns the study.

    Args:
        space: A shipped space's name, the path of a space file, a ``Space``, or a function ``build_model(hp)`` or a
            ``HyperModel`` of Keras Tuner. Objects are written to a space file in the folder of the studies.
        data: (x_train, y_train) with or without x_test and y_test, as Keras's data sets return them, or the path of
            a file or folder; None for MNIST.
        progress: Whether to show a bar, or a callback that receives the events; None for a bar in a notebook or on a
            terminal.
        **options: The options of ``python -m search run``, with underscores, such as ``timeout="20m"`` and
            ``trials=20``. A parameter of the space is fixed by a value (``batch_size=64``), narrowed by a tuple
            (``filters_1=(16, 48)``), and restricted to the values of a list (``pooling=["max", "average"]``).

    Raises:
        UserError: An option cannot be used.
        FatalError: The study cannot continue; its record is kept.
    """
    started_at = time.monotonic()
    with _errors_in_python():
        settings = _make_settings(space, data, options)
        return run_plan(make_plan(settings), _make_callback(progress), started_at=started_at)


def baseline(
    space: Any = "cnn",
    *,
    data: Sequence[Any] | str | Path | None = None,
    repeats: int = 5,
    progress: Callback | bool | None = None,
    **options: Any,
) -> Study:
    """Trains a space's baseline under the tutorial protocol, with a fresh seed each time, and returns the study.

    Args:
        space: As in ``run``.
        data: As in ``run``.
        repeats: Repeats in all, those recorded already included.
        progress: As in ``run``.
        **options: The options of ``python -m search baseline``, with underscores.

    Raises:
        UserError: An option cannot be used.
        FatalError: The study cannot continue; its record is kept.
    """
    with _errors_in_python():
        return run_baseline(_make_settings(space, data, options), _make_callback(progress), repeats=repeats)


@contextlib.contextmanager
def _errors_in_python() -> Iterator[None]:
    """Makes errors name arguments in place of options: ``folds=5`` for ``--folds 5``."""
    try:
        yield
    except SearchError as error:
        error.message, error.hint = map(_in_python, (error.message, error.hint))
        error.args = (error.message,)
        raise


def _in_python(text: str) -> str:
    return OPTION.sub(_argument, text)


def _argument(option: re.Match[str]) -> str:
    written, value = option[1].replace("-", "_"), option[2]
    name = next((name for name in (written, f"{written}_") if name in _OPTIONS), None)
    if name is None:
        return option[0]
    if value is None:
        return name
    return f"{name}={value if value.isdigit() else repr(value)}"


def _make_settings(space: Any, data: Sequence[Any] | str | Path | None, options: Mapping[str, Any]) -> Settings:
    """Returns the settings of a call; names that are no options must be parameters of the space."""
    if not isinstance(space, str | Path):
        space = _written_space(space, Path(options.get("studies_dir", _OPTIONS["studies_dir"].default)).expanduser())
    options = {"space": str(space), **options}
    parameters = {name: value for name, value in options.items() if f"{name}_" not in _OPTIONS and name not in _OPTIONS}
    options = {name: value for name, value in options.items() if name not in parameters}
    if parameters:
        options |= _restrictions(str(space), parameters, options)
    if data is not None and "dataset" in options:
        raise UserError(f"The data are given twice. Received: data and dataset={options['dataset']!r}.")
    if isinstance(data, (str, Path)):
        options["dataset"] = str(data)
    elif data is not None:
        cache_dir = options.get("cache_dir")
        options["dataset"] = str(save_arrays(data, Path(cache_dir) if cache_dir else None))
    return from_mapping(options)


def _written_space(space: object, studies_dir: Path) -> str:
    """Returns the name of a shipped space, or the path of the file to which any other is written.

    The name of the file holds a hash of its text: a space that was edited does not replace that of an earlier study.
    """
    try:
        if (shipped := from_object.shipped_name(space)) is not None:
            return shipped
        name, text = from_object.space_file(space)
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    file = studies_dir / f"{to_study_name(name)}-{hashlib.sha256(text.encode()).hexdigest()[:6]}.py"
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_atomic(file, text, what="space file")
    return str(file)


def _restrictions(space: str, parameters: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options ``fix`` and ``range`` with parameters that were given by keyword."""
    try:
        known = registry.load(space).declared
    except registry.SpaceError as error:
        raise UserError(str(error)) from None
    fixed, ranges = dict(options.get("fix", {})), dict(options.get("range", {}))
    for name, value in parameters.items():
        if name not in known:
            raise unknown_name("option or parameter", name, [*_OPTIONS, *known])
        if isinstance(value, tuple):
            ranges[name] = ":".join(map(str, value))
        elif isinstance(value, list):
            ranges[name] = ",".join(map(str, value))
        else:
            fixed[name] = value
    return {"fix": fixed, "range": ranges}


def _make_callback(progress: Callback | bool | None) -> Callback:
    if isinstance(progress, Callback):
        return progress
    is_shown = is_notebook() or sys.stderr.isatty() if progress is None else progress
    return NotebookProgress() if is_shown else Callback()


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _with_options(function: Callable[..., Study]) -> None:
    """Gives a function the options as keywords in its signature, for help and completion."""
    signature = inspect.signature(function)
    own = [value for value in signature.parameters.values() if value.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {"space", "dataset", *signature.parameters}
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=field.type)
        for name, field in _OPTIONS.items()
        if name not in taken
    ]
    rest = inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD, annotation="Any")
    function.__signature__ = signature.replace(parameters=[*own, *keywords, rest])  # type: ignore[attr-defined]


_with_options(run)
_with_options(baseline)
