"""The commands of a small study that tests damage, starve and interrupt, and what it has recorded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import wait_for_record

from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.trial import State


def words(small_mnist: Path, cache_dir: Path, **options: object) -> list[str]:
    """The command of a small study."""
    small = {"space": "mlp", "study": "worn", "seed": 0, "trials": 3, "finalists": 0, "epochs": 2, "pruner": "none"}
    small |= {"workers": 1}  # each imports TensorFlow
    small |= {"tune": "learning_rate,batch_size"}  # the baseline's network is soon built
    small |= {"threads": 1} if "engine" in options or "sampler" in options else {"threads": 1, "sampler": "tpe"}
    chosen = {"dataset": small_mnist, "cache-dir": cache_dir, **small, **options}
    given = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", "search", "run", *given]


def call(command: list[str], folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; it never shows a traceback."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextmanager
def started(command: list[str], folder: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a command, and does not outlive the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def leaderboard(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return call([sys.executable, "-m", "search", "leaderboard", *more], folder)


def recorded(folder: Path) -> StudyRecord:
    return read_study(StudyLocation(studies_dir=folder / "studies"), "worn")


def ended(record: StudyRecord) -> list[TrialRecord]:
    """The trials that came to their own end."""
    return [known for known in record.trials if known.outcome and known.outcome.state is not State.INTERRUPTED]


def completed(record: StudyRecord) -> list[TrialRecord]:
    return [known for known in ended(record) if known.outcome and known.outcome.state is State.COMPLETE]


def wait_until(session: subprocess.Popen[str], folder: Path, holds: Callable[[StudyRecord], bool]) -> None:
    """Returns once the record is so."""
    wait_for_record(StudyLocation(studies_dir=folder / "studies"), "worn", holds, session)


def journal(folder: Path) -> Path:
    return folder / "studies/worn/ledger.journal"
