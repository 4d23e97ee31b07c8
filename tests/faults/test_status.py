"""``status`` asked again and again, many at once, while a real search starts, runs, is killed and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import pytest

from search.records.reader import read_study
from search.records.storage.locations import StudyLocation
from search.trial import State

pytestmark = pytest.mark.slow
ASKED = 3
ROOT = Path(__file__).parents[2]
SEARCH = [sys.executable, "-m", "search"]


def run_options(small_mnist: Path, cache_dir: Path) -> list[str]:
    options = {
        "space": "mlp",
        "dataset": small_mnist,
        "cache-dir": cache_dir,
        "study": "watched",
        "seed": 0,
        "trials": 4,
        "finalists": 1,
        "replicates": 1,
        "epochs": 8,
        "workers": 1,
        "sampler": "tpe",
        "tune": "learning_rate,batch_size",
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*SEARCH, *words], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def ask_at_once(folder: Path) -> list[str]:
    """Asks many times at once; every one must answer."""
    questions = islice(cycle([("status",), ("status", "watched", "--json"), ("ls",)]), ASKED)
    asked = [start(folder, *words) for words in questions]
    answers = [(process.communicate(), process.returncode) for process in asked]
    assert [code for _, code in answers] == [0] * ASKED, answers
    return [printed for (printed, _), _ in answers]


def test_a_search_is_not_disturbed_by_being_asked(small_mnist: Path, cache_dir: Path, tmp_path: Path) -> None:
    options = run_options(small_mnist, cache_dir)
    session = start(tmp_path, "run", *options)
    while not (tmp_path / "studies/watched/ledger.journal").exists():
        assert session.poll() is None, session.communicate()
        time.sleep(0.01)
    running = ask_at_once(tmp_path)  # while it starts
    assert session.poll() is None, "it ended before it could be killed: give it more to do"
    assert all("running" in text or "starting" in text or '"coordinator": {' in text for text in running), running
    os.kill(session.pid, signal.SIGKILL)
    session.communicate()
    assert any("will be resumed" in text for text in ask_at_once(tmp_path))

    session = start(tmp_path, "run", *options)
    for _ in range(2):  # from before it takes the lock
        ask_at_once(tmp_path)
    _, said = session.communicate()
    assert session.returncode == 0, said
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), "watched")
    ended = [known.outcome.state for known in record.trials if known.outcome]
    assert len(ended) == len(record.trials)
    assert State.FAILED not in ended
    assert "not running" in ask_at_once(tmp_path)[0]
