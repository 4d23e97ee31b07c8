"""Comparisons on tables with chosen regrets, without a simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from search.compare.spec import RunKey, schedule
from search.compare.tabular.compute import TabularComparison, compute
from search.compare.tabular.simulate import RegretTrace, TabularSpec
from search.engines.registry import parse_engine

Final = Callable[[int, int], float]
"""The last regret by table and repeat."""

BEST, TIE, WORSE = "optuna:tpe", "optuna:nsga2", "optuna:random"
FINALS: Mapping[str, Final] = {
    WORSE: lambda table, repeat: 0.05 * (table + 1),
    TIE: lambda table, repeat: 0.01 * (table + 1) + (0.0011 if table % 2 else -0.001),
    BEST: lambda table, repeat: 0.01 * (table + 1),
}
"""A best engine, one that ties with it, and one behind on every table."""


def make_spec(engines: Mapping[str, Final], *, repeats: int = 3, trials: int = 100) -> TabularSpec:
    choices = tuple(parse_engine(name, pruner="none") for name in engines)
    return TabularSpec(benchmark="hpobench-mlp", engines=choices, trials=trials, repeats=repeats, seed=0)


def make_runs(spec: TabularSpec, finals: Mapping[str, Final], *, tables: int = 8) -> dict[RunKey, RegretTrace]:
    """Each engine falls from regret 1 to its last one, evenly on a logarithmic scale."""
    names = [f"table_{number}" for number in range(tables)]
    return {
        key: trace(finals[key.engine](names.index(key.table), key.repeat), spec.trials)
        for key in schedule(finals, spec.repeats, names)
    }


def simulated(
    finals: Mapping[str, Final], *, tables: int = 8, repeats: int = 3, trials: int = 100, command: str = ""
) -> TabularComparison:
    spec = make_spec(finals, repeats=repeats, trials=trials)
    return compute(
        spec,
        make_runs(spec, finals, tables=tables),
        excluded={"optuna:gp": "Sampler 'gp' needs an optional dependency."},
        versions={"python": "3", "optuna": "5"},
        command=command,
    )


def trace(final: float, trials: int) -> RegretTrace:
    regrets = tuple(np.geomspace(1.0, final, trials).tolist())
    return RegretTrace(observed=regrets, incumbent=regrets, regrets=regrets, engine_seconds=0.002 * trials)
