"""From simulated runs to the result of their comparison. Pure; called by ``run``, reported by ``report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from search.compare.curves import CurveBand
from search.compare.paired_tests import rank, wilcoxon_p
from search.compare.results import Comparison, Metric, PairedTest
from search.compare.spec import RunKey
from search.compare.tabular.simulate import RegretTrace, TabularSpec
from search.leaderboard.statistics import Estimate, t_estimate

REPORTED_TRIAL_COUNTS = (25, 50, 100)
"""Trials after which regrets are reported, besides the last trial."""
BAND_PERCENTILES = (25, 75)
"""Percentiles over seeds between which a curve's band lies."""
REGRET_LIMITS = (0.0, 1.0)
"""Of an expected regret; intervals end there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularComparison:
    """The result of a comparison on tables. Mappings by engine are in the order of the ranks.

    Args:
        spec: What was run.
        comparison: Engines by rank, by the mean regret after the last trial.
        tables: Names of the tables.
        trial_counts: Trials after which regrets are given, rising.
        regrets: By engine and trial count, the mean normalised regret, with an interval over the tables' means.
        mean_ranks: By engine, the mean over tables of its rank by mean regret; 1 is best, ties share.
        seconds_per_trial: By engine, the median over runs of the processor seconds that it took for a trial.
        curves: By engine, regret after each trial: the mean over tables and seeds, and quartiles over seeds.
        runs: The simulated runs.
        excluded: Engines that cannot search the tables, and why.
        versions: Of Python and the libraries.
        command: The command that ran it; may be empty.
    """

    spec: TabularSpec
    comparison: Comparison
    tables: tuple[str, ...]
    trial_counts: tuple[int, ...]
    regrets: Mapping[str, Mapping[int, Estimate]]
    mean_ranks: Mapping[str, float]
    seconds_per_trial: Mapping[str, float]
    curves: Mapping[str, CurveBand]
    runs: Mapping[RunKey, RegretTrace]
    excluded: Mapping[str, str]
    versions: Mapping[str, str]
    command: str


def compute(
    spec: TabularSpec,
    runs: Mapping[RunKey, RegretTrace],
    *,
    excluded: Mapping[str, str],
    versions: Mapping[str, str],
    command: str = "",
) -> TabularComparison:
    """Returns the result of the runs: all engines that are not excluded, on all tables, in all repeats.

    Source: Demsar, JMLR 7 (2006), section 3.1.3, for tables as the units of the test.
    """
    tables = tuple(dict.fromkeys(key.table for key in runs))
    engines = [choice.name for choice in spec.engines if choice.name not in excluded]
    regrets = {engine: _regrets(spec, runs, engine, tables) for engine in engines}
    trial_counts = (*(count for count in REPORTED_TRIAL_COUNTS if count < spec.trials), spec.trials)
    estimates = {
        engine: {
            count: t_estimate(regrets[engine][:, :, count - 1].mean(axis=1).tolist(), within=REGRET_LIMITS)
            for count in trial_counts
        }
        for engine in engines
    }
    metric = Metric(
        name=f"mean normalised regret after {spec.trials} trials", digits=4, sample="table", limits=REGRET_LIMITS
    )
    comparison = rank(
        {engine: dict(zip(tables, regrets[engine][:, :, -1].mean(axis=1).tolist(), strict=True)) for engine in engines},
        metric,
        PairedTest(
            name=f"Wilcoxon's signed-rank test over the mean regrets of {len(tables)} tables",
            units="tables",
            p_value=wilcoxon_p,
        ),
    )
    order = [result.engine for result in comparison.engines]
    ranks = rankdata([regrets[engine][:, :, -1].mean(axis=1) for engine in order], axis=0).mean(axis=1)
    return TabularComparison(
        spec=spec,
        comparison=comparison,
        tables=tables,
        trial_counts=trial_counts,
        regrets={engine: estimates[engine] for engine in order},
        mean_ranks=dict(zip(order, ranks.tolist(), strict=True)),
        seconds_per_trial={engine: _seconds_per_trial(runs, engine) for engine in order},
        curves={engine: _regret_curve(regrets[engine]) for engine in order},
        runs=runs,
        excluded=excluded,
        versions=versions,
        command=command,
    )


def _regrets(spec: TabularSpec, runs: Mapping[RunKey, RegretTrace], engine: str, tables: Sequence[str]) -> np.ndarray:
    """Returns an engine's regrets as (tables, seeds, trials); a shorter run keeps its last regret."""
    traces = [
        [runs[RunKey(engine=engine, table=table, repeat=repeat)].regrets for repeat in range(spec.repeats)]
        for table in tables
    ]
    return np.array([[[*trace, *[trace[-1]] * (spec.trials - len(trace))] for trace in row] for row in traces])


def _seconds_per_trial(runs: Mapping[RunKey, RegretTrace], engine: str) -> float:
    traces = [trace for key, trace in runs.items() if key.engine == engine]
    return float(np.median([trace.engine_seconds / len(trace.regrets) for trace in traces]))


def _regret_curve(regrets: np.ndarray) -> CurveBand:
    by_seed = regrets.mean(axis=0)
    low, high = np.percentile(by_seed, BAND_PERCENTILES, axis=0)
    return CurveBand(
        costs=tuple(float(trial) for trial in range(1, by_seed.shape[1] + 1)),
        mean=tuple(by_seed.mean(axis=0).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
