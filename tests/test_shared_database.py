"""One study in a database, two processes with folders of their own: one runs it, the other is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from makers import header, trial

from search.errors import FatalError, UserError
from search.records.ledger import Ledger, read
from search.records.storage import Place
from search.trial import Phase


def place(folder: Path, machine: str) -> Place:
    """The database, as a machine with a studies folder of its own sees it."""
    return Place(studies_dir=folder / machine, storage=f"sqlite:///{folder}/studies.db")


def test_a_second_process_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with Ledger.open(place(tmp_path, "one"), header()) as ledger:
        ledger.begin(trial(0))
        with pytest.raises(UserError, match="being run by another process"):
            Ledger.open(place(tmp_path, "two"), header())
        ledger.begin(trial(1))
    with Ledger.open(place(tmp_path, "two"), header()) as ledger:
        assert len(ledger.read().trials) == 2


def test_a_study_of_a_killed_process_of_this_machine_is_taken_up_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from makers import header, trial\n"
        "from test_shared_database import place\n"
        "from search.records.ledger import Ledger\n"
        "ledger = Ledger.open(place(Path(sys.argv[1]), 'one'), header())\n"
        "ledger.begin(trial(0))\n"
        "os._exit(1)\n"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *paths], check=False)
    with Ledger.open(place(tmp_path, "two"), header()) as ledger:
        assert [known.outcome for known in ledger.read().trials] == [None]


def test_trials_that_another_program_adds_end_the_session_before_they_are_mixed_up(tmp_path: Path) -> None:
    import optuna

    with Ledger.open(place(tmp_path, "one"), header()) as ledger:
        ledger.begin(trial(0))
        optuna.load_study(study_name=f"study/{Phase.SEARCH.value}", storage=place(tmp_path, "").storage).ask()
        with pytest.raises(FatalError, match="Another process adds trials"):
            ledger.begin(trial(1))


def test_reading_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown study"):
        read(place(tmp_path, "one"), "study")
    assert list(tmp_path.iterdir()) == []
