"""The Python API as a notebook uses it, and the baseline command, on a small piece of MNIST."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import search
from search.errors import UserError
from search.trial import Phase


def options(folder: Path, dataset: Path, cache_dir: Path) -> dict:
    return {
        "dataset": dataset,
        "cache_dir": cache_dir,
        "studies_dir": folder / "studies",
        "reports_dir": folder / "reports",
        "epochs": 1,
        "fix": {"filters_1": 8, "dense_1": 32},
    }


def test_a_notebook_gets_a_data_frame(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    study = search.run(space="cnn", trials=2, replicates=2, workers=1, **options(tmp_path, small_mnist, cache_dir))
    frame = study.leaderboard()
    assert len(frame) == 2
    assert set(frame["trial"]) == {0, 1}
    assert frame["test_error_percent"].notna().any()
    names = ["leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.svg", "report.html", "study.json.gz"]
    assert [path.name for path in study.reports] == names
    assert all(path.exists() for path in study.reports)
    assert not study.interrupted
    assert study.record.header.command == ""


def test_wrong_options_raise_errors_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown option"):
        search.run(spaces="cnn")
    with pytest.raises(AttributeError):
        _ = search.nothing
    assert list(tmp_path.iterdir()) == []


def test_the_baseline_command_repeats_and_compares(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> None:
    command = [sys.executable, "-m", "search", "baseline", "--space", "cnn", "--repeats", "3", "--epochs", "1"]
    command += ["--dataset", str(small_mnist), "--cache-dir", str(cache_dir), "--seed", "0", "--threads", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("repeat ") == 3
    assert "mean" in done.stdout
    assert "There is no published figure" in done.stdout
    (report,) = (tmp_path / "reports" / "baselines").glob("*/leaderboard.md")
    assert "tutorial protocol" in report.read_text()
    from search.records.reader import read_study
    from search.records.storage.locations import StudyLocation

    (name,) = StudyLocation(studies_dir=tmp_path / "studies").study_names()
    record = read_study(StudyLocation(studies_dir=tmp_path / "studies"), name)
    assert len(record.trials_in_phase(Phase.REPRODUCTION)) == record.test_evaluations == 3
    assert record.trials_in_phase(Phase.SEARCH) == ()
