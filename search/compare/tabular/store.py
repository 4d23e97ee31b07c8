"""Records simulated runs, one JSON line each, so that an interruption costs only the runs in progress.

The first line of ``games.jsonl`` holds the terms that all runs share; a folder with other terms is refused. A last line
that a killed process left incomplete is dropped. One process writes, guarded by a lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.compare.spec import RunKey
from search.compare.store import RunStore, folder_lock, raise_if_different
from search.compare.tabular.simulate import RegretTrace
from search.errors import FatalError
from search.records.record import flatten

SCHEMA = "games/1"


class JsonLinesStore(RunStore[RegretTrace]):
    """The recorded runs of a folder; ``open_store`` makes it.

    Args:
        path: The file.
        runs: What it holds.
    """

    def __init__(self, path: Path, runs: Mapping[RunKey, RegretTrace]) -> None:
        self._path, self._runs = path, dict(runs)

    def runs(self) -> Mapping[RunKey, RegretTrace]:
        """Returns the recorded runs."""
        return self._runs

    def finished(self) -> Mapping[RunKey, RegretTrace]:
        """Returns the recorded runs, which are all finished."""
        return self._runs

    def add(self, key: RunKey, trace: RegretTrace) -> None:
        """Records a finished run."""
        _append_line(self._path, {**asdict(key), **asdict(trace)})
        self._runs[key] = trace


@contextmanager
def open_store(folder: Path, terms: Mapping[str, Any]) -> Iterator[JsonLinesStore]:
    """Opens a comparison's folder for writing, and makes it if needed.

    Args:
        folder: The folder.
        terms: What all runs share, as JSON.

    Raises:
        UserError: The folder holds runs of other terms, is in use, or cannot be written.
        FatalError: The file is damaged.
    """
    path = folder / "games.jsonl"
    with folder_lock(folder):
        _drop_incomplete_line(path)
        if not path.exists() or not path.stat().st_size:
            _append_line(path, {"schema": SCHEMA, **terms})
        header, runs = _read(path)
        raise_if_different(folder, flatten(header), flatten({"schema": SCHEMA, **terms}))
        yield JsonLinesStore(path, runs)


def _drop_incomplete_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _append_line(path: Path, document: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document, allow_nan=False) + "\n")


def _read(path: Path) -> tuple[dict[str, Any], dict[RunKey, RegretTrace]]:
    """Returns the first line and the runs."""
    try:
        header, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return header, dict(map(_parse_run, lines))
    except (ValueError, KeyError, TypeError) as error:
        raise FatalError(
            f"The runs cannot be read. Received: {path} ({type(error).__name__}: {error}).",
            hint="Its lines are JSON; keep a copy, then cut the file at the first line that is not.",
        ) from error


def _parse_run(document: dict[str, Any]) -> tuple[RunKey, RegretTrace]:
    key = RunKey(engine=document["engine"], table=document["table"], repeat=document["repeat"])
    series = {name: tuple(document[name]) for name in ("observed", "incumbent", "regrets")}
    return key, RegretTrace(**series, engine_seconds=document["engine_seconds"])
