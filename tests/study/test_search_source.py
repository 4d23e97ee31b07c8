"""The source of a search's trials: what it takes from engines, in several budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles import InstantExecutor
from makers import TINY, header

from search.engines.optuna_engine import OptunaEngine
from search.engines.registry import make_engine, parse_engine
from search.records.opening import open_ledger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.trial import Phase, Trial


def only_the_baseline_is_good(trial: Trial, epoch: int) -> float:
    """An error in percent."""
    return 1.0 if trial.config == TINY.baseline else 50.0


@pytest.mark.parametrize("trials", [2, 3, 4, 9])
@pytest.mark.parametrize(("name", "pruner"), [("optuna:mutation", "none"), ("optuna:random", "screening")])
def test_all_trials_run_that_were_asked_for(tmp_path: Path, name: str, pruner: str, trials: int) -> None:
    choice = parse_engine(name, pruner=pruner)
    location = StudyLocation(studies_dir=tmp_path)
    with open_ledger(location, header(engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner)) as ledger:
        source = SearchSource(make_engine(choice, TINY, seed=5, epochs=4), ledger, trials=trials, recipes=())
        executor = InstantExecutor(curve=only_the_baseline_is_good)
        run_loop(source, executor=executor, ledger=ledger, callback=Callback())
        assert len(ledger.read().trials_in_phase(Phase.SEARCH)) == trials


@pytest.mark.parametrize(
    "name", ["optuna:random", "optuna:tpe", "optuna:mutation", "keras-tuner:random", "keras-tuner:hyperband"]
)
def test_no_trial_is_spent_on_what_exceeds_the_memory(tmp_path: Path, name: str) -> None:
    choice = parse_engine(name)
    location = StudyLocation(studies_dir=tmp_path)
    with open_ledger(location, header(engine=choice.engine, sampler=choice.sampler, pruner=choice.pruner)) as ledger:
        engine = make_engine(choice, TINY, seed=5, epochs=4)
        source = SearchSource(engine, ledger, trials=25, recipes=(), fits=lambda config: config["width"] <= 20)
        run_loop(source, executor=InstantExecutor(slots=2), ledger=ledger, callback=Callback())
        tried = [known.trial.config["width"] for known in ledger.read().trials_in_phase(Phase.SEARCH)]
    assert len(tried) == 25
    assert max(tried) <= 20


def test_after_many_that_exceed_the_memory_the_next_one_tells_why(tmp_path: Path) -> None:
    with open_ledger(StudyLocation(studies_dir=tmp_path), header()) as ledger:
        engine = OptunaEngine(TINY, sampler="random", pruner="none", seed=0, epochs=4)
        source = SearchSource(engine, ledger, trials=4, recipes=(), fits=lambda config: False)
        run_loop(source, executor=InstantExecutor(), ledger=ledger, callback=Callback())
        assert len(ledger.read().trials) == 4
