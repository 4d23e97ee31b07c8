"""Records simulated runs, one JSON line each, so that an interruption costs only the runs in progress.

Runs on tables and on recorded trainings are stored alike. The first line of ``games.jsonl`` holds the terms that all
runs share; a folder with other terms is refused. A last line that a killed process left incomplete is dropped. One
process writes, guarded by a lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from search.compare.spec import RunKey
from search.compare.store import RunStore, folder_lock, raise_if_different
from search.errors import FatalError, UserError
from search.records.record import flatten

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = "games/2"
"""Runs on tables. In "games/1" the run that made a configuration the chosen one counted in its regret."""
KEY_FIELDS = tuple(item.name for item in fields(RunKey))


T = TypeVar("T", bound="DataclassInstance")


class JsonLinesStore(RunStore[T]):
    """The recorded runs of a folder; ``open_store`` makes it.

    Args:
        path: The file.
        runs: What it holds.
    """

    def __init__(self, path: Path, runs: Mapping[RunKey, T]) -> None:
        self._path, self._runs = path, dict(runs)

    def runs(self) -> Mapping[RunKey, T]:
        """Returns the recorded runs."""
        return self._runs

    def finished(self) -> Mapping[RunKey, T]:
        """Returns the recorded runs, which are all finished."""
        return self._runs

    def add(self, key: RunKey, run: T) -> None:
        """Records a finished run."""
        _append_line(self._path, {**asdict(key), **asdict(run)})
        self._runs[key] = run


@contextmanager
def open_store(
    folder: Path, terms: Mapping[str, Any], parse: Callable[[dict[str, Any]], T], schema: str = SCHEMA
) -> Iterator[JsonLinesStore[T]]:
    """Opens a comparison's folder for writing, and makes it if needed.

    Args:
        folder: The folder.
        terms: What all runs share, as JSON.
        parse: Makes a run from its fields as JSON.
        schema: Names the format of the file.

    Raises:
        UserError: The folder holds runs of other terms or of another schema, is in use, or cannot be written.
        FatalError: The file is damaged.
    """
    path = folder / "games.jsonl"
    with folder_lock(folder):
        drop_incomplete_line(path)
        if not path.exists() or not path.stat().st_size:
            _append_line(path, {"schema": schema, **terms})
        header, *lines = _read_lines(path)
        if header.get("schema") != schema:
            raise UserError(
                f"The runs in {folder} are of another version or kind of comparison, so their figures cannot stand "
                f"beside new ones. Expected: schema {schema!r}. Received: {header.get('schema')!r} in {path}.",
                hint="Name this comparison with --name NAME, or move the folder away to run it again.",
            )
        raise_if_different(folder, flatten(header), flatten({"schema": schema, **terms}))
        with _damage_reported(path):
            keys = [RunKey(**{name: line.pop(name) for name in KEY_FIELDS}) for line in lines]
            runs = dict(zip(keys, map(parse, lines), strict=True))
        yield JsonLinesStore(path, runs)


def drop_incomplete_line(path: Path) -> None:
    """Cuts a file after its last line break; does nothing if there is no file."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _append_line(path: Path, document: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document, allow_nan=False) + "\n")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with _damage_reported(path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise FatalError(
            f"The runs cannot be read. Received: {path} ({type(error).__name__}: {error}).",
            hint="Its lines are JSON; keep a copy, then cut the file at the first line that is not.",
        ) from error
