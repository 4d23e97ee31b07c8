"""Tests the output of ``reproduce`` and its exit code: 0 if runs agree, 1 if not, 2 for invalid input."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import trained
from click.testing import CliRunner
from makers import complete, header, trial

from search.cli.reproduce import command
from search.cli.reproduce_view import format_text, to_document
from search.errors import UserError
from search.leaderboard.statistics import Interval
from search.records.opening import open_ledger
from search.records.reader import read_study
from search.records.record import TrialRecord
from search.records.storage.locations import StudyLocation
from search.reproduction.comparison import EnvironmentChange, Tolerance
from search.reproduction.reproduce import ReproducedRun, ReproductionTarget
from search.trial import Outcome, State

HERE = {"deterministic": True}
RECORDED = dataclasses.replace(complete(), environment=HERE)
FIRST = dataclasses.replace(RECORDED.history[0], training_loss=0.2)
PARTED = dataclasses.replace(RECORDED, history=(FIRST, *RECORDED.history[1:]))
TOLERANCE = Tolerance(interval=Interval(1.0, 2.0), basis="this test")
TARGET = ReproductionTarget(label="search trial 0, baseline", runs=(TrialRecord(trial=trial(), outcome=RECORDED),))


def repeat(again: Outcome, *changes: EnvironmentChange) -> ReproducedRun:
    return ReproducedRun(trial=trial(), recorded=RECORDED, reproduced=again, changes=changes, tolerance=TOLERANCE)


def test_equal_bits_are_told_as_such() -> None:
    said = format_text("study", TARGET, [repeat(RECORDED)])
    assert "the same bit for bit: the losses and errors of 4 epochs" in said
    assert said.endswith("It agrees, bit for bit.")


def test_what_differs_is_named_and_so_is_the_interval() -> None:
    changes = (
        EnvironmentChange(name="versions.keras", recorded="2", here="3"),
        EnvironmentChange(name="kernels", recorded=None, here="eigen"),
    )
    said = format_text("study", TARGET, [repeat(PARTED, *changes)])
    assert "keras: recorded 2, here 3" in said
    assert "possibly different: kernels." in said
    assert "the curves differ from epoch 1 on; the error lies within 1.00 to 2.00 % (95 %: this test)" in said
    assert said.endswith("It agrees, within the interval.")


def test_bits_that_should_be_the_same_are_told_when_they_are_not() -> None:
    said = format_text("study", TARGET, [repeat(PARTED)])
    assert "hardware and software are the same" in said
    assert said.endswith("It does NOT agree.")


def test_a_failure_here_is_told_with_its_message() -> None:
    failed = Outcome(state=State.FAILED, message="ValueError: no\nsuch thing")
    assert "it failed here: ValueError: no such thing" in format_text("study", TARGET, [repeat(failed)])


def test_how_many_runs_of_a_row_are_left_is_told() -> None:
    said = format_text("study", dataclasses.replace(TARGET, recorded_count=3), [repeat(RECORDED)])
    assert "1 of 3 test runs; --seeds 3 repeats them all." in said


def test_the_document_holds_the_verdict_and_what_it_rests_on() -> None:
    said = json.loads(
        json.dumps(to_document("study", TARGET, [repeat(PARTED, EnvironmentChange(name="x", recorded=1, here=2))]))
    )
    assert (said["schema"], said["agrees"]) == ("reproduce/1", True)
    (run,) = said["runs"]
    assert (run["agreement"], run["equal_epochs"], run["interval"]) == (
        "within the interval",
        0,
        {"low": 1.0, "high": 2.0},
    )
    assert run["changes"] == [{"name": "x", "recorded": 1, "here": 2}]


@pytest.fixture
def studies_dir(tmp_path: Path, small_mnist: Path, cache_dir: Path) -> Path:
    """A study of one trial that is said to have been trained, with a space and data that are there."""
    with open_ledger(StudyLocation(studies_dir=tmp_path), trained.header(small_mnist, cache_dir)) as ledger:
        ledger.begin(one := trial(0, config=trained.SPACE.baseline))
        ledger.finish(one, complete())
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["traind", "0"], "Did you mean 'trained'"),
        (["trained", "1"], "Its search trials are 0 to 0"),
        (["trained", "winer"], "Unknown row"),
        (["trained", "rank:1"], "no row was verified"),
        (["trained", "0", "--test"], "no complete test run"),
        (["trained", "0", "--dataset", "nowhere.npz"], "There is no such data set"),
        (["trained", "0", "--dataset", "mnist"], "The data are not those of study"),
        (["trained", "0", "--backend", "jaxx"], "Did you mean 'jax'"),
        (["trained", "0", "--precision", "float16"], "Did you mean 'bfloat16'"),
        (["trained", "0", "--devices", "gpu:7"], "no GPU"),
        (["trained", "0", "--devices", "tpu"], "Unknown device"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(words: list[str], said: str, studies_dir: Path, cache_dir: Path) -> None:
    arguments = [*words, "--studies-dir", str(studies_dir), "--cache-dir", str(cache_dir)]
    with pytest.raises(UserError) as raised:
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_study_without_a_trial_is_refused(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()):
        pass
    with pytest.raises(UserError, match="no finished trial"):
        CliRunner().invoke(command, ["study", "winner", "--studies-dir", str(tmp_path)], catch_exceptions=False)


@pytest.mark.slow
def test_the_command_agrees_or_not_with_its_exit_code(trained_study: Path, tmp_path: Path, cache_dir: Path) -> None:
    place = trained.copy_study(trained_study, tmp_path)
    record = read_study(place, trained.NAME)
    known = record.trials[0]
    worse = [
        dataclasses.replace(report, metrics={**report.metrics, "error_percent": 99.0})
        for report in known.outcome.history
    ]
    other = dataclasses.replace(record.header, name="tampered")
    with open_ledger(place, other) as ledger:
        ledger.begin(known.trial)
        ledger.finish(
            known.trial, dataclasses.replace(known.outcome, history=tuple(worse), metrics={"error_percent": 99.0})
        )
    words = ["--studies-dir", str(place.studies_dir), "--cache-dir", str(cache_dir)]
    for study, code in ((trained.NAME, 0), ("tampered", 1)):
        line = [sys.executable, "-m", "search", "reproduce", study, "0", "--json", *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, "")
        assert json.loads(done.stdout)["agrees"] is (code == 0)
