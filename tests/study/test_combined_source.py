"""A search with test runs beside it: a real engine and a real ledger; what runs is recorded by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles import InstantExecutor
from makers import TINY, complete, header, trial

from search.engines.optuna_engine import OptunaEngine
from search.records.ledger import Ledger
from search.records.record import TrialRecord
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.combined_source import CombinedSource
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.study.verification import ReplicateSource, early_verification_trials
from search.trial import BASELINE, PROPOSED, Cause, EpochReport, Outcome, Phase, State, Trial

RECIPE = "recipe: faster"
SEARCHED, TESTED = Phase.SEARCH, Phase.VERIFICATION


class Run:
    """A combined source, and the ledger in which what it returns is recorded.

    Args:
        ledger: A fresh one.
        trials: Of the search.
        replicates: Of the test runs.
        fits: Whether a further test run can end.
        by_urgency: Order of the further test runs.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        trials: int = 3,
        replicates: int = 2,
        fits: Callable[[Trial], bool] = lambda run: True,
        by_urgency: Callable[[Trial], int] = lambda run: 0,
    ) -> None:
        self.ledger, self.cause = ledger, None
        engine = OptunaEngine(TINY, sampler="random", pruner="none", seed=5, epochs=4)
        self.source = CombinedSource(
            SearchSource(engine, ledger, trials=trials),
            ReplicateSource((), ledger.read().trials_in_phase(TESTED)),
            early_trials=lambda: early_verification_trials(ledger.read(), 1),
            further_trials=lambda: sorted(
                filter(fits, early_verification_trials(ledger.read(), replicates)), key=by_urgency
            ),
            stop_cause=lambda: self.cause,
        )

    def begin(self) -> Trial | None:
        """The next trial, recorded as begun."""
        if (chosen := self.source.next()) is not None:
            self.ledger.begin(chosen)
        return chosen

    def end(self, ended: Trial, outcome: Outcome | None = None) -> None:
        """Records the end of a trial, complete if nothing else is said."""
        self.source.tell(ended, self.ledger.finish(ended, outcome or complete()))

    def rest(self) -> list[tuple[Phase, str, int | None]]:
        """Runs all that is left, one at a time: phase, origin and replicate of each trial."""
        ran = []
        while (chosen := self.begin()) is not None:
            ran.append((chosen.phase, chosen.origin, chosen.replicate))
            self.end(chosen)
        return ran


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return FileLedger.in_memory(StudyLocation(studies_dir=tmp_path), header())


def test_the_first_test_runs_precede_what_the_engine_proposes(ledger: Ledger) -> None:
    assert Run(ledger).rest() == [
        (SEARCHED, BASELINE, None),
        (TESTED, BASELINE, 0),
        (SEARCHED, RECIPE, None),
        (TESTED, RECIPE, 0),
        (SEARCHED, PROPOSED, None),
        (TESTED, BASELINE, 1),
        (TESTED, RECIPE, 1),
    ]


def test_a_test_run_begins_as_soon_as_its_search_trial_has_ended(ledger: Ledger) -> None:
    run = Run(ledger)
    baseline, recipe, found = run.begin(), run.begin(), run.begin()
    assert [each.origin for each in (baseline, recipe, found)] == [BASELINE, RECIPE, PROPOSED]
    assert run.begin() is None
    run.end(recipe)
    of_recipe = run.begin()
    assert (of_recipe.phase, of_recipe.source_trial, of_recipe.replicate) == (TESTED, 1, 0)
    run.end(baseline)
    of_baseline = run.begin()
    assert (of_baseline.phase, of_baseline.source_trial, of_baseline.replicate) == (TESTED, 0, 0)
    assert of_baseline.seed == of_recipe.seed, "so that their difference is paired"


def test_further_test_runs_keep_workers_busy_while_the_last_trials_end(ledger: Ledger) -> None:
    run = Run(ledger)
    for _ in range(4):
        run.end(run.begin())
    found = run.begin()
    assert (found.phase, found.origin) == (SEARCHED, PROPOSED)
    further = run.begin()
    assert (further.phase, further.replicate) == (TESTED, 1)
    run.end(found, complete(0.1))
    assert {origin for _, origin, _ in run.rest()} == {RECIPE}, "what was found is verified when the search has ended"


def test_a_further_test_run_that_does_not_fit_is_not_begun(ledger: Ledger) -> None:
    ran = Run(ledger, replicates=3, fits=lambda run: run.origin == BASELINE).rest()
    assert [(origin, replicate) for phase, origin, replicate in ran if phase is TESTED] == [
        (BASELINE, 0),
        (RECIPE, 0),
        (BASELINE, 1),
        (BASELINE, 2),
    ]


def test_the_most_urgent_further_test_run_is_chosen_when_a_worker_is_free(ledger: Ledger) -> None:
    urgent = BASELINE
    run = Run(ledger, replicates=3, by_urgency=lambda run: run.origin != urgent)
    for _ in range(5):
        run.end(run.begin())
    assert run.begin().origin == BASELINE
    urgent = RECIPE
    assert run.begin().origin == RECIPE, "although the baseline's third was more urgent before"


def test_the_end_of_the_search_does_not_touch_test_runs(ledger: Ledger) -> None:
    run = Run(ledger, trials=50)
    run.end(run.begin())
    test_run, recipe = run.begin(), run.begin()
    assert (test_run.phase, recipe.phase) == (TESTED, SEARCHED)
    run.cause = Cause.GOAL
    assert run.source.cancel_cause(recipe) is Cause.GOAL
    assert run.source.cancel_cause(test_run) is None
    run.end(recipe, Outcome(state=State.INTERRUPTED, cause=Cause.GOAL))
    run.end(test_run)
    assert run.rest() == [(TESTED, BASELINE, 1)]


def test_reports_go_to_the_source_of_their_trial(ledger: Ledger) -> None:
    run = Run(ledger)
    run.end(run.begin())
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 90.0})
    assert not run.source.report(run.begin(), report)
    assert not run.source.report(run.begin(), report)


@pytest.mark.parametrize("ended_before", [0, 1])
def test_a_trial_that_could_not_be_recorded_comes_again(ledger: Ledger, ended_before: int) -> None:
    run = Run(ledger)
    for _ in range(ended_before):
        run.end(run.begin())
    chosen = run.source.next()
    run.source.undo_next(chosen)
    assert run.source.next() == chosen


def recorded(ledger: Ledger, phase: Phase) -> TrialRecord:
    """The last record of a phase."""
    return ledger.read().trials_in_phase(phase)[-1]


def test_test_runs_of_another_coordinator_are_left_to_it_and_taken_up_if_it_dies(ledger: Ledger) -> None:
    run = Run(ledger)
    baseline = trial(0)
    theirs = dataclasses.replace(trial(0), phase=TESTED, source_trial=0, replicate=0)
    for each in (baseline, theirs):
        ledger.begin(each)
        assert run.source.observe(recorded(ledger, each.phase))
        if each is baseline:
            ledger.finish(baseline, complete())
            assert run.source.observe(recorded(ledger, SEARCHED))
    assert run.source.running_elsewhere == 1
    assert run.begin().origin == RECIPE, "the baseline's first test run is theirs"
    ledger.finish(theirs, Outcome(state=State.INTERRUPTED, cause=Cause.COORDINATOR_DIED))
    assert run.source.observe(recorded(ledger, TESTED))
    again = run.begin()
    assert (again.phase, again.number, again.source_trial, again.replicate) == (TESTED, 1, 0, 0)


def test_a_test_run_that_another_coordinator_left_before_it_was_due_here_is_taken_up(ledger: Ledger) -> None:
    run = Run(ledger)
    theirs = dataclasses.replace(trial(0), phase=TESTED, source_trial=0, replicate=0)
    for each, outcome in (
        (trial(0), complete()),
        (theirs, Outcome(state=State.INTERRUPTED, cause=Cause.COORDINATOR_DIED)),
    ):
        ledger.begin(each)
        run.source.observe(recorded(ledger, each.phase))
        ledger.finish(each, outcome)
        run.source.observe(recorded(ledger, each.phase))
    again = run.begin()
    assert (again.phase, again.source_trial, again.replicate) == (TESTED, 0, 0)


def test_a_listed_test_run_that_another_coordinator_had_begun_is_taken_up_if_it_dies(ledger: Ledger) -> None:
    theirs = dataclasses.replace(trial(0), phase=TESTED, source_trial=0, replicate=0)
    ledger.begin(theirs)
    source = ReplicateSource([dataclasses.replace(theirs, number=1)], ledger.read().trials_in_phase(TESTED))
    assert source.next() is None
    ledger.finish(theirs, Outcome(state=State.INTERRUPTED, cause=Cause.COORDINATOR_DIED))
    assert source.observe(recorded(ledger, TESTED))
    assert source.next().replicate_key == theirs.replicate_key


def test_a_loop_runs_both_phases(ledger: Ledger) -> None:
    executor = InstantExecutor(slots=3)
    run_loop(Run(ledger, trials=9).source, executor=executor, ledger=ledger, callback=Callback())
    record = ledger.read()
    assert all(known.state is State.COMPLETE for known in record.trials)
    assert len(record.trials_in_phase(SEARCHED)) == 9
    assert sorted((known.trial.origin, known.trial.replicate) for known in record.trials_in_phase(TESTED)) == [
        (BASELINE, 0),
        (BASELINE, 1),
        (RECIPE, 0),
        (RECIPE, 1),
    ]
