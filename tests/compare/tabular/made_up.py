"""Tournaments that nobody played, with regrets of our choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from search.compare.tabular.run import CompletedRuns, TabularSpec
from search.compare.tabular.simulate import RegretTrace
from search.compare.tabular.store import RunKey
from search.engines.registry import parse_engine

Final = Callable[[int, int], float]
"""The last regret by table and repeat."""


BEST, TIE, WORSE = "optuna:tpe", "optuna:nsga2", "optuna:random"
FINALS: Mapping[str, Final] = {
    WORSE: lambda table, repeat: 0.05 * (table + 1),
    TIE: lambda table, repeat: 0.01 * (table + 1) + (0.0011 if table % 2 else -0.001),
    BEST: lambda table, repeat: 0.01 * (table + 1),
}
"""A winner, an engine level with it, and one behind on every table."""


def played(finals: Mapping[str, Final], *, tables: int = 8, repeats: int = 3, trials: int = 100) -> CompletedRuns:
    """A tournament in which each engine falls from regret 1 to its last one, evenly on a logarithmic scale."""
    names = tuple(f"table_{number}" for number in range(tables))
    engines = tuple(parse_engine(name, pruner="none") for name in finals)
    games = {
        RunKey(engine=engine, table=table, repeat=repeat): trace(final(number, repeat), trials)
        for engine, final in finals.items()
        for number, table in enumerate(names)
        for repeat in range(repeats)
    }
    return CompletedRuns(
        spec=TabularSpec(benchmark="hpobench-mlp", engines=engines, trials=trials, repeats=repeats, seed=0),
        tables=names,
        runs=games,
        excluded={"optuna:gp": "Sampler 'gp' needs an optional dependency."},
        versions={"python": "3", "optuna": "5"},
    )


def trace(final: float, trials: int) -> RegretTrace:
    """A game's trace."""
    regrets = tuple(np.geomspace(1.0, final, trials).tolist())
    return RegretTrace(observed=regrets, incumbent=regrets, regrets=regrets, engine_seconds=0.002 * trials)
