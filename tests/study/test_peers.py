"""What a source makes of the trials of others: a real engine and a real ledger, the others' records made by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from makers import TINY, complete, header

from search.engines.base import Engine
from search.engines.keras_tuner_engine import KerasTunerEngine
from search.engines.optuna_engine import OptunaEngine
from search.records.opening import open_ledger
from search.records.record import TrialRecord
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.study.search_source import SearchSource
from search.study.verification import ReplicateSource, verification_trials
from search.trial import BASELINE, EpochReport, Outcome, Phase, State, Trial

ENGINES = {
    "optuna": lambda: OptunaEngine(TINY, sampler="tpe", pruner="asha", seed=5, epochs=4),
    "keras-tuner": lambda: KerasTunerEngine(TINY, sampler="random", seed=5, epochs=4),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]()


def source(folder: Path, engine: Engine, *, trials: int = 4) -> SearchSource:
    """A fresh search of a study in memory."""
    ledger = FileLedger.in_memory(StudyLocation(studies_dir=folder), header(pruner="asha"))
    return SearchSource(engine, ledger, trials=trials)


def elsewhere(number: int, config: dict, outcome: Outcome | None = None, **more: object) -> TrialRecord:
    """A trial that another coordinator runs, or has run."""
    return TrialRecord(trial=Trial(number=number, config=config, seed=100 + number, epochs=4, **more), outcome=outcome)


def test_what_others_have_begun_is_not_begun_again(tmp_path: Path, engine: Engine) -> None:
    search = source(tmp_path, engine)
    assert search.observe(elsewhere(0, TINY.baseline, origin=BASELINE))
    assert search.running_elsewhere == 1
    first = search.next()
    assert (first.number, first.origin) == (1, "recipe: faster")
    assert search.observe(elsewhere(2, {**TINY.baseline, "width": 20}))
    assert search.next().number == 3
    assert search.next() is None  # four in all, wherever they run


def test_what_others_found_counts_once_and_what_they_left_is_taken_up(tmp_path: Path, engine: Engine) -> None:
    search = source(tmp_path, engine)
    ended = elsewhere(0, TINY.baseline, complete(), origin=BASELINE)
    assert search.observe(ended)
    assert not search.observe(ended)
    report = EpochReport(epoch=1, training_loss=0.5, metrics={"error_percent": 4.0})
    running = elsewhere(1, {**TINY.baseline, "width": 20})
    assert search.observe(running)
    assert not search.observe(dataclasses.replace(running, reports=(report,)))
    assert search.observe(dataclasses.replace(running, outcome=Outcome(state=State.INTERRUPTED, history=(report,))))
    again = search.next()
    assert (again.number, again.config, again.seed) == (2, running.trial.config, running.trial.seed)
    assert search.running_elsewhere == 0


def test_a_trial_that_could_not_be_recorded_comes_again_unless_another_has_begun_it(
    tmp_path: Path, engine: Engine
) -> None:
    search = source(tmp_path, engine)
    baseline = search.next()
    search.undo_next(baseline)
    assert search.next() == baseline
    search.undo_next(baseline)
    assert search.observe(elsewhere(0, TINY.baseline, origin=BASELINE))
    following = search.next()
    assert (following.number, following.origin) == (1, "recipe: faster")


def test_repeats_that_others_run_are_left_to_them(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        trial = Trial(number=0, config=TINY.baseline, seed=0, epochs=4, origin=BASELINE)
        ledger.begin(trial)
        ledger.finish(trial, complete())
        waiting = verification_trials(ledger.read(), count=0, replicates=3)
    fixed = ReplicateSource(waiting)
    theirs = dataclasses.replace(waiting[1], number=0)
    assert fixed.observe(TrialRecord(trial=theirs, outcome=None))
    assert [(one.number, one.replicate) for one in (fixed.next(), fixed.next())] == [(1, 0), (2, 2)]
    assert fixed.next() is None
    assert fixed.running_elsewhere == 1
    assert fixed.observe(TrialRecord(trial=theirs, outcome=Outcome(state=State.INTERRUPTED)))
    again = fixed.next()
    assert (again.number, again.replicate, again.phase) == (3, 1, Phase.VERIFICATION)
