"""Whole searches with real workers: reproducible when ordered, or with one worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.trial import Phase

pytestmark = pytest.mark.slow
VERIFIED = ("--finalists", "1", "--replicates", "1")


def run(folder: Path, *words: str) -> tuple[StudyRecord, str]:
    """Runs a session in a folder and returns the record and what was said."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "search", "run", "--study", "whole", "--seed", "3", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return read_study(StudyLocation(studies_dir=folder / "studies"), "whole"), done.stderr


@pytest.fixture
def data(small_mnist: Path, cache_dir: Path) -> tuple[str, ...]:
    small = ("--range", "filters_1=8:32", "--range", "conv_stages=1:2", "--fix", "dense_1=32", "--no-recipes")
    return ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), *small)


def told(record: StudyRecord) -> list[str]:
    """What must be the same at every run: configs, seeds, states and errors bit for bit."""
    return [
        json.dumps([dict(known.trial.config), known.trial.seed, known.outcome.state, known.outcome.error_percent])
        for known in record.trials
    ]


def test_an_ordered_search_is_the_same_at_every_run(tmp_path: Path, data: tuple[str, ...]) -> None:
    words = (*data, "--ordered", "--workers", "2", "--trials", "4", "--epochs", "2", *VERIFIED)
    first, _ = run(tmp_path / "first", *words)
    second, _ = run(tmp_path / "second", *words)
    assert told(first) == told(second)
    assert len(first.trials_in_phase(Phase.SEARCH)) == 4


def test_a_search_with_one_worker_is_the_same_at_every_run(tmp_path: Path, data: tuple[str, ...]) -> None:
    words = (*data, "--workers", "1", "--trials", "3", "--epochs", "2", *VERIFIED)
    assert told(run(tmp_path / "first", *words)[0]) == told(run(tmp_path / "second", *words)[0])
