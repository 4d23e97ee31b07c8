"""Recorded runs made again: for real, from the ledger alone; and what is said where they come out otherwise."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import trained
from makers import header, trial

from search.errors import UserError
from search.leaderboard.statistics import Interval
from search.records.reader import read_study
from search.records.record import StudyRecord, TrialRecord
from search.records.storage.locations import StudyLocation
from search.reproduction.comparison import EnvironmentChange, Tolerance
from search.reproduction.reproduce import Agreement, ReproducedRun, ReproductionTarget, find_target, reproduce
from search.reproduction.restore import ReproductionOptions
from search.trial import Cause, EpochReport, Outcome, Phase, State

HERE = {"backend": "tensorflow", "device": "CPU", "threads": 1, "deterministic": True, "versions": {"keras": "3"}}


def outcome(*losses: float, **changes: object) -> Outcome:
    """A run with these training losses, whose error is 1 % after each epoch."""
    history = tuple(
        EpochReport(epoch=epoch, training_loss=loss, metrics={"loss": 0.1, "error_percent": 1.0})
        for epoch, loss in enumerate(losses, start=1)
    )
    fields = {"state": State.COMPLETE, "metrics": {"error_percent": 1.0} if losses else {}, "history": history}
    return Outcome(**{**fields, "environment": HERE, **changes})


def repeat(
    recorded: Outcome, again: Outcome, *changes: EnvironmentChange, low: float = 0.5, high: float = 1.5
) -> ReproducedRun:
    tolerance = Tolerance(interval=Interval(low, high), basis="this test")
    return ReproducedRun(trial=trial(), recorded=recorded, reproduced=again, changes=changes, tolerance=tolerance)


OTHER = EnvironmentChange(name="versions.keras", recorded="2", here="3")


def test_the_same_bits_agree_whatever_they_ran_on() -> None:
    assert repeat(outcome(0.3, 0.2), outcome(0.3, 0.2)).agreement is Agreement.EXACT
    assert repeat(outcome(0.3, 0.2), outcome(0.3, 0.2), OTHER).agreement is Agreement.EXACT


def test_another_bit_does_not_agree_where_the_same_were_due() -> None:
    parted = repeat(outcome(0.3, 0.2), outcome(0.3, 0.2 + 1e-16 * 2))
    assert parted.is_exact_expected
    assert (parted.equal_epochs, parted.agreement) == (1, Agreement.DIFFERENT)


def test_another_bit_agrees_within_the_interval_where_something_differs() -> None:
    assert repeat(outcome(0.3), outcome(0.4), OTHER).agreement is Agreement.WITHIN
    assert repeat(outcome(0.3), outcome(0.4), OTHER, low=1.1).agreement is Agreement.DIFFERENT


def test_another_bit_agrees_within_the_interval_where_a_run_was_not_deterministic() -> None:
    loose = outcome(0.3, environment={**HERE, "deterministic": False})
    assert repeat(loose, outcome(0.4)).agreement is Agreement.WITHIN


def test_other_mistakes_are_no_exact_agreement() -> None:
    recorded = outcome(0.3, misclassified=(1, 5), predicted_classes=(7, 7))
    assert repeat(recorded, outcome(0.3, misclassified=(1, 5), predicted_classes=(7, 7))).agreement is Agreement.EXACT
    assert (
        repeat(recorded, outcome(0.3, misclassified=(1, 6), predicted_classes=(7, 7))).agreement is Agreement.DIFFERENT
    )


def test_a_run_that_fails_here_or_is_shorter_does_not_agree() -> None:
    failed = outcome(0.3, state=State.FAILED, cause=Cause.ERROR)
    assert repeat(outcome(0.3), failed, OTHER).agreement is Agreement.DIFFERENT
    assert repeat(outcome(0.3, 0.2), outcome(0.3), OTHER).agreement is Agreement.DIFFERENT


def test_a_failure_of_its_own_agrees_when_it_comes_again() -> None:
    diverged = outcome(0.3, state=State.FAILED, cause=Cause.NOT_FINITE)
    assert repeat(diverged, diverged).agreement is Agreement.EXACT
    assert repeat(diverged, outcome(0.3)).agreement is Agreement.DIFFERENT
    assert repeat(diverged, dataclasses.replace(diverged, cause=Cause.ERROR)).agreement is Agreement.DIFFERENT


def of(*known: TrialRecord) -> StudyRecord:
    return StudyRecord(header=header(), trials=known)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (None, "has not ended"),
        (Outcome(state=State.INTERRUPTED, cause=Cause.CANCELLED), "finished no epoch"),
        (Outcome(state=State.FAILED, cause=Cause.KILLED), "worker killed"),
    ],
)
def test_what_holds_nothing_to_compare_with_is_refused(ended: Outcome | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_target(of(TrialRecord(trial=trial(0), outcome=ended)), "0")


def test_a_row_without_a_test_run_stands_for_its_search_trial_and_says_so() -> None:
    target = find_target(of(TrialRecord(trial=trial(0), outcome=outcome(0.3))), "winner")
    assert target.runs[0].trial.phase is Phase.SEARCH
    assert "verified" in target.note
    with pytest.raises(UserError, match="no complete test run"):
        find_target(of(TrialRecord(trial=trial(0), outcome=outcome(0.3))), "0", is_test=True)


@pytest.fixture(scope="module")
def place(trained_study: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyLocation:
    return trained.copy_study(trained_study, tmp_path_factory.mktemp("trained"))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def repeats(place: StudyLocation, cache_dir: Path) -> list[ReproducedRun]:
    """Search trials 0 to 4, two test runs of row 2, one of row 0 with a changed record; in the same workers."""
    before, record = contents(place.studies_dir), read_study(place, trained.NAME)
    searched = [run for number in range(5) for run in find_target(record, str(number)).runs]
    tested = find_target(record, "2", is_test=True, seeds=2).runs
    assert [known.trial.seed for known in tested] == [20, 21]
    (known,) = find_target(record, "0", is_test=True).runs
    assert known.outcome is not None
    first, *others = known.outcome.history
    changed = dataclasses.replace(first, training_loss=first.training_loss * (1 + 2**-52))
    tampered = dataclasses.replace(known, outcome=dataclasses.replace(known.outcome, history=(changed, *others)))
    target = ReproductionTarget(label="each", runs=(*searched, *tested, tampered))
    made = reproduce(record, target, ReproductionOptions(cache_dir=str(cache_dir)))
    assert contents(place.studies_dir) == before
    return made


@pytest.mark.slow
def test_every_kind_of_trial_comes_out_bit_for_bit_in_a_fresh_process(repeats: list[ReproducedRun]) -> None:
    for number, (once_more, epochs) in enumerate(zip(repeats[:5], (4, 2, 4, 0, 1), strict=True)):
        assert once_more.changes == ()
        assert (once_more.agreement, once_more.equal_epochs) == (Agreement.EXACT, epochs), number


@pytest.mark.slow
def test_a_rows_test_runs_come_out_bit_for_bit_with_the_same_mistakes(repeats: list[ReproducedRun]) -> None:
    for once_more in repeats[5:7]:
        assert once_more.agreement is Agreement.EXACT
        assert once_more.recorded.predicted_classes == once_more.reproduced.predicted_classes != ()


@pytest.mark.slow
def test_a_record_that_was_tampered_with_does_not_agree(repeats: list[ReproducedRun]) -> None:
    assert (repeats[7].agreement, repeats[7].equal_epochs) == (Agreement.DIFFERENT, 0)


@pytest.mark.slow
def test_two_threads_are_named_and_agree_within_the_interval(place: StudyLocation, cache_dir: Path) -> None:
    record = read_study(place, trained.NAME)
    (once_more,) = reproduce(record, find_target(record, "0"), ReproductionOptions(cache_dir=str(cache_dir), threads=2))
    assert [(change.name, change.recorded, change.here) for change in once_more.changes] == [("threads", 1, 2)]
    assert once_more.agreement in (Agreement.WITHIN, Agreement.EXACT)
