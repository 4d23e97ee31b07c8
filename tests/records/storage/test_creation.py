"""Several processes that open a new database at the same moment."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from search.records.storage.locations import StudyLocation
from search.records.storage.storages import read_storage

PROCESSES = 3


def test_processes_that_create_a_database_at_once_all_open_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    with context.Manager() as manager:
        start = manager.Barrier(PROCESSES)
        with context.Pool(PROCESSES) as pool:
            for attempt in range(3):
                url = f"sqlite:///{tmp_path}/{attempt}.db"
                assert pool.starmap(_open, [(url, start)] * PROCESSES, chunksize=1) == [""] * PROCESSES


def _open(url: str, start: object) -> str:
    """Opens a database when all are ready; returns a note about damage."""
    start.wait()
    return read_storage(StudyLocation(studies_dir=Path(), storage=url), "study")[1]
