"""Tests ``merge`` and ``leaderboard`` over studies from several places."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from in_process import CommandHere, Done

from search.records import study_json
from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.trial import Phase
from tests.cli.test_leaderboard_command import keep
from tests.leaderboard import records


def search(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m search`` in a folder, as in a terminal of 80 columns."""
    command = [sys.executable, "-m", "search", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def here(search_here: CommandHere) -> Callable[..., Done]:
    """The same in this process."""

    def run(folder: Path, *words: str, code: int = 0) -> Done:
        done = search_here(folder, *words)
        assert done.returncode == code, done.stderr
        return done

    return run


def of_another_machine(study: StudyRecord) -> StudyRecord:
    """The same figures, reached by another engine in other times."""
    header = replace(study.header, created="2026-11-22T10:00:00+00:00", engine="keras-tuner", sampler="bayesian")
    trials = []
    for known in study.trials:
        if known.outcome:
            history = tuple(replace(report, seconds=3.25) for report in known.outcome.history)
            known = replace(known, outcome=replace(known.outcome, history=history))  # noqa: PLW2901
        trials.append(known)
    return replace(study, header=header, trials=tuple(trials))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Studies of two machines: one name for two of them, and a published report."""
    keep(tmp_path / "studies", records.tpe())
    keep(tmp_path / "theirs", of_another_machine(records.tpe()))
    report = tmp_path / "reports" / "baselines" / "cnn"
    report.mkdir(parents=True)
    (report / study_json.FILE_NAME).write_bytes(study_json.dumps(records.reproduction()))
    return tmp_path


def test_a_board_over_names_folders_and_reports(here: Callable[..., Done], folder: Path) -> None:
    done = here(folder, "leaderboard", "cnn-tpe", "theirs", "reports", "--format", "json")
    document = json.loads(done.stdout)
    names = [[study["name"] for study in section["studies"]] for section in document["sections"]]
    assert names == [["cnn-tpe", "cnn-tpe-2"], ["tutorial-cnn"]]
    assert document["notes"] == [
        "cnn-tpe-2 is another study named cnn-tpe: theirs/cnn-tpe, begun 2026-11-22T10:00:00+00:00."
    ]
    row = document["sections"][0]["rows"][0]
    assert row["machine"] == "A Processor | 2.0 GHz"
    assert {one["engine"] for one in document["sections"][0]["rows"]} == {"optuna", "keras-tuner"}


def test_a_board_of_several_studies_fits_a_narrow_terminal(here: Callable[..., Done], folder: Path) -> None:
    done = here(folder, "leaderboard", "cnn-tpe", "theirs")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "cnn-tpe-2" in done.stdout


def test_where_a_row_comes_from_is_told_where_rows_differ(here: Callable[..., Done], folder: Path) -> None:
    alone = here(folder, "leaderboard", "cnn-tpe", "--format", "markdown").stdout
    both = here(folder, "leaderboard", "cnn-tpe", "theirs", "--format", "markdown").stdout
    assert "| Engine " not in alone.partition("### Studies")[0]
    unverified = both.partition("### Not verified on the test images")[2].partition("###")[0]
    assert {", cnn-tpe-2 ", ", cnn-tpe "} <= set(re.findall(r", cnn-tpe(?:-2)? ", unverified))
    assert "keras-tuner" in both.partition("### Studies")[2]


def test_merge_writes_the_whole_set_and_says_what_it_left_out(here: Callable[..., Done], folder: Path) -> None:
    done = here(folder, "merge", "cnn-tpe", "theirs", "studies/cnn-tpe", "reports", "--out", "board")
    assert done.stdout == ""
    assert "Study cnn-tpe was given twice, as cnn-tpe and studies/cnn-tpe; it counts once." in done.stderr
    board = folder / "board"
    rows = list(csv.DictReader(io.StringIO((board / "leaderboard.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 9 + 14 + 1, "what both verified is one row"
    assert {path.parent.name for path in board.glob(f"*/{study_json.FILE_NAME}")} == {
        "cnn-tpe",
        "cnn-tpe-2",
        "tutorial-cnn",
    }
    page = (board / "README.md").read_text(encoding="utf-8")
    assert "](cnn-tpe-2/study.json.gz)" in page
    again = here(folder, "leaderboard", "board", "--format", "csv").stdout
    assert again == (board / "leaderboard.csv").read_text(encoding="utf-8")


def test_merge_of_nothing_is_a_board_that_says_so(here: Callable[..., Done], folder: Path) -> None:
    here(folder, "merge", "--studies-dir", "nowhere", "--out", "board")
    assert "There is no study to show." in (folder / "board" / "leaderboard.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [("leaderboard",), ("merge", "--out", "board"), ("status",)])
def test_an_unknown_study_is_refused_with_near_names(
    here: Callable[..., Done], folder: Path, command: tuple[str, ...]
) -> None:
    name, *words = command
    error = here(folder, name, "cnn-tpee", *words, code=2).stderr
    assert "Unknown study" in error
    assert "Did you mean 'cnn-tpe'?" in error
    assert not (folder / "board").exists()


def test_a_damaged_and_a_newer_file_are_refused(here: Callable[..., Done], folder: Path) -> None:
    file = folder / "reports" / "baselines" / "cnn" / study_json.FILE_NAME
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert "is damaged" in here(folder, "leaderboard", "reports", code=2).stderr
    file.write_bytes(b'{"schema": "study/9"}')
    assert "Update this package." in here(folder, "merge", "reports", "--out", "board", code=2).stderr
    assert not (folder / "board").exists()


def test_a_folder_that_cannot_be_written_is_refused(here: Callable[..., Done], folder: Path) -> None:
    (folder / "file").touch()
    assert "cannot be written" in here(folder, "merge", "--out", "file/board", code=2).stderr


def test_status_of_a_study_elsewhere(here: Callable[..., Done], folder: Path) -> None:
    assert "cnn-tpe" in here(folder, "status", "theirs/cnn-tpe").stdout
    assert "can still be written" in here(folder, "status", "reports/baselines/cnn", code=2).stderr


@pytest.mark.slow
def test_real_studies_of_two_machines(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    """A search, a copy of it that went on elsewhere, one with another engine, and a reproduced baseline."""
    here, there = tmp_path / "here", tmp_path / "there"
    for machine in (here, there):
        machine.mkdir()
    shared = ("--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--threads", "1", "--workers", "1")
    small = ("--space", "mlp", "--fix", "width_1=64", "--epochs", "2", "--quiet", "--seed", "3")
    verified = ("--finalists", "1", "--replicates", "1")
    run = ("run", *shared, *small, *verified, "--study", "one")
    search(here, *run, "--trials", "2")
    early = read_study(StudyLocation(studies_dir=here / "studies"), "one")
    shutil.copytree(here / "studies" / "one", there / "studies" / "one")
    search(here, *run, "--trials", "3")
    search(there, "run", *shared, *small, *verified, "--study", "random", "--sampler", "random", "--trials", "2")
    search(there, "baseline", *shared, *small, "--study", "tutorial", "--repeats", "2")
    whole = read_study(StudyLocation(studies_dir=here / "studies"), "one")

    published = here / "reports" / "one"
    assert study_json.loads((published / study_json.FILE_NAME).read_bytes(), "").spent_seconds == whole.spent_seconds
    assert str(tmp_path) not in (published / "leaderboard.md").read_text(encoding="utf-8")

    done = search(tmp_path, "merge", "here/studies", "there/studies", "here/reports", "there/reports", "--out", "board")
    ended = len(early.trials) + len(early.ensembles)
    assert f"earlier copy, with {ended} trials ended" in done.stderr
    document = json.loads((tmp_path / "board" / "leaderboard.json").read_text(encoding="utf-8"))
    by_protocol = {section["protocol"]["name"]: section for section in document["sections"]}
    assert [study["name"] for study in by_protocol["holdout"]["studies"]] == ["one", "random"]
    assert [study["name"] for study in by_protocol["tutorial"]["studies"]] == ["tutorial"]
    alone = json.loads((published / "leaderboard.json").read_text(encoding="utf-8"))["sections"][0]
    rows = [row for row in by_protocol["holdout"]["rows"] if row["study"] == "one"]
    for row in rows:
        (same,) = [one for one in alone["rows"] if one["trial"] == row["trial"]]
        for key in ("test_errors_percent", "test_seeds", "baseline_difference_points", "steps", "machine"):
            assert row[key] == same[key], key
    assert len(rows) == len(whole.trials_in_phase(Phase.SEARCH)) - sum(
        known.trial.parent is not None for known in whole.trials
    )
    search(tmp_path, "merge", "board", "--out", "board")
    assert json.loads((tmp_path / "board" / "leaderboard.json").read_text())["sections"] == document["sections"]
