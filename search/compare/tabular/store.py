"""The book of a tournament: one JSON line a finished game, so that whatever stops it costs only the games in play.

The first line says what all games share, and a folder that holds other games is refused. A last line that a killed
writer did not finish is dropped. One process writes, guarded by a lock.

Layout of a tournament's folder::

    games.jsonl   a line of terms, then a line a game
    lock          held while a tournament runs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.compare.tabular.simulate import RegretTrace
from search.errors import FatalError, UserError
from search.records.record import describe_differences, flatten

SCHEMA = "games/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """The place of a game in a tournament.

    Args:
        engine: Name of the engine's choice, such as "optuna:tpe".
        table: The table's name.
        repeat: From 0; engines share the study's seed of a table's repeat.
    """

    engine: str
    table: str
    repeat: int


class RunStore:
    """Reads and appends the games of one tournament. Use ``RunStore.open`` in a ``with`` statement.

    Args:
        path: The file.
        lock: Held until the book is closed.
        runs: What it holds already.
    """

    def __init__(self, path: Path, lock: FileLock, runs: Mapping[RunKey, RegretTrace]) -> None:
        self._path, self._lock = path, lock
        self.runs = dict(runs)

    @classmethod
    def open(cls, folder: Path, terms: Mapping[str, Any]) -> RunStore:
        """Opens a tournament's folder for writing, and makes it if it is new.

        Args:
            folder: The tournament's folder.
            terms: What its games share, as JSON.

        Raises:
            UserError: The folder holds games of other terms, is in use, or cannot be written.
            FatalError: The file is damaged.
        """
        path = folder / "games.jsonl"
        lock = _acquire_lock(folder)
        try:
            _truncate_partial_line(path)
            if not path.exists() or not path.stat().st_size:
                _append_line(path, {"schema": SCHEMA, **terms})
            return cls(path, lock, _read_runs(path, terms))
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> RunStore:
        """Returns the book."""
        return self

    def __exit__(self, *_: object) -> None:
        """Lets other processes write."""
        self._lock.release()

    def add(self, key: RunKey, trace: RegretTrace) -> None:
        """Records a finished game."""
        _append_line(self._path, {**asdict(key), **asdict(trace)})
        self.runs[key] = trace


def _acquire_lock(folder: Path) -> FileLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"A tournament is being played in this folder by another process. Received: {folder}.",
            hint="Wait for it to end, or name another folder.",
        ) from None
    except OSError as error:
        raise UserError(
            f"The tournament's folder cannot be written. Received: {folder} ({error.strerror}).",
            hint="Name another folder.",
        ) from error
    return lock


def _truncate_partial_line(path: Path) -> None:
    """Drops a last line that a killed writer did not live to finish; the folder is locked, so nobody is writing it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _append_line(path: Path, document: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document, allow_nan=False) + "\n")


def _read_runs(path: Path, terms: Mapping[str, Any]) -> dict[RunKey, RegretTrace]:
    try:
        header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        runs = dict(map(_parse_run, lines))
    except (ValueError, KeyError, TypeError) as error:
        raise FatalError(
            f"The games cannot be read. Received: {path} ({type(error).__name__}: {error}).",
            hint="Its lines are JSON; keep a copy, then cut the file at the first line that is not.",
        ) from error
    _check_terms(path.parent, flatten(header), flatten({"schema": SCHEMA, **terms}))
    return runs


def _parse_run(document: dict[str, Any]) -> tuple[RunKey, RegretTrace]:
    trace = RegretTrace(
        observed=tuple(document["observed"]),
        incumbent=tuple(document["incumbent"]),
        regrets=tuple(document["regrets"]),
        engine_seconds=document["engine_seconds"],
    )
    return RunKey(engine=document["engine"], table=document["table"], repeat=document["repeat"]), trace


def _check_terms(folder: Path, recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
    """Refuses a folder whose games were played on other terms; they could not be compared."""
    if differences := describe_differences(recorded, requested):
        raise UserError(
            f"The folder holds games of another tournament. It differs in {'; '.join(differences)}. "
            f"Received: {folder}.",
            hint="Name another folder, or repeat the recorded options. More engines and more repeats can be added.",
        )
