"""What a tournament shows: regrets, ranks, and which engines its games can tell from the best.

Pure: computes from games, and knows no engine, executor or output format. Called by ``run``; read by the renderers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from search.compare.tabular.run import CompletedRuns, TabularSpec
from search.compare.tabular.store import RunKey
from search.leaderboard.statistics import Estimate, t_estimate

REPORTED_TRIAL_COUNTS = (25, 50, 100)
"""Trials after which regrets are compared, where the games are longer; and after the last trial."""
ALPHA = 0.05
MIN_TABLES_FOR_TEST = 6
"""Fewest tables for a test over tables: with five, Wilcoxon's smallest p is 2 / 2**5, above 0.05."""
BAND_PERCENTILES = (25, 75)
"""Percentiles over seeds that a curve's band lies between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularEngineResult:
    """How an engine did.

    Args:
        engine: Such as "optuna:tpe".
        regrets: By checkpoint, the mean normalised regret over tables and seeds, with a 95 % interval over the tables'
            means.
        mean_rank: Mean over tables of its rank by mean regret at the last checkpoint; 1 is best, ties share.
        seconds_per_trial: Median over games of the wall-clock seconds that the engine itself took for a trial.
        p_adjusted: Of the difference to the best engine, adjusted for the number of comparisons; None for the best.
    """

    engine: str
    regrets: Mapping[int, Estimate]
    mean_rank: float
    seconds_per_trial: float
    p_adjusted: float | None

    @property
    def is_tie(self) -> bool:
        """Whether the games do not tell it from the best."""
        return self.p_adjusted is not None and self.p_adjusted >= ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretCurve:
    """Normalised regret after each trial, over tables: its mean over seeds, and quartiles over seeds.

    Args:
        mean: One value a trial.
        low: Lower quartile over seeds.
        high: Upper quartile.
    """

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularComparison:
    """What a tournament shows.

    Args:
        spec: What was played.
        tables: The tables' names.
        trial_counts: Trials after which regrets are given, rising.
        rows: One an engine, the lowest regret at the last checkpoint first.
        curves: One an engine, in the same order.
        over_tables: Whether p-values are over tables, or over pairs of table and seed, where tables are too few.
        excluded: Engines that could not play, and why.
        versions: Of Python and the libraries that played.
        command: The command that shows it again; empty where there is none.
    """

    spec: TabularSpec
    tables: tuple[str, ...]
    trial_counts: tuple[int, ...]
    rows: tuple[TabularEngineResult, ...]
    curves: Mapping[str, RegretCurve]
    over_tables: bool
    excluded: Mapping[str, str]
    versions: Mapping[str, str]
    command: str = ""


def compute(completed: CompletedRuns, *, command: str = "") -> TabularComparison:
    """Returns what the games show."""
    spec = completed.spec
    names = [choice.name for choice in spec.engines if choice.name not in completed.excluded]
    regrets = {name: _regrets(completed, name) for name in names}
    trial_counts = (*(count for count in REPORTED_TRIAL_COUNTS if count < spec.trials), spec.trials)
    order = sorted(names, key=lambda name: float(regrets[name][:, :, -1].mean()))
    final_regrets = np.array([regrets[name][:, :, -1] for name in order])
    ranks = stats.rankdata(final_regrets.mean(axis=2), axis=0).mean(axis=1)
    p_adjusted = _adjusted_p_values(final_regrets)
    rows = [
        TabularEngineResult(
            engine=name,
            regrets={count: t_estimate(regrets[name][:, :, count - 1].mean(axis=1).tolist()) for count in trial_counts},
            mean_rank=float(rank),
            seconds_per_trial=_seconds_per_trial(completed, name),
            p_adjusted=p_value,
        )
        for name, rank, p_value in zip(order, ranks, p_adjusted, strict=True)
    ]
    return TabularComparison(
        spec=spec,
        tables=completed.tables,
        trial_counts=trial_counts,
        rows=tuple(rows),
        curves={name: _regret_curve(regrets[name]) for name in order},
        over_tables=len(completed.tables) >= MIN_TABLES_FOR_TEST,
        excluded=completed.excluded,
        versions=completed.versions,
        command=command,
    )


def _regrets(completed: CompletedRuns, engine: str) -> np.ndarray:
    """Returns an engine's regrets as (tables, seeds, trials); one that had nothing left keeps its last regret."""
    repeats, trials = range(completed.spec.repeats), completed.spec.trials
    keys = [[RunKey(engine=engine, table=table, repeat=repeat) for repeat in repeats] for table in completed.tables]
    return np.array([[_pad_with_last(completed.runs[slot].regrets, trials) for slot in row] for row in keys])


def _pad_with_last(regrets: Sequence[float], trials: int) -> list[float]:
    return [*regrets, *[regrets[-1]] * (trials - len(regrets))]


def _seconds_per_trial(completed: CompletedRuns, engine: str) -> float:
    traces = [trace for slot, trace in completed.runs.items() if slot.engine == engine]
    return float(np.median([trace.engine_seconds / len(trace.regrets) for trace in traces]))


def _adjusted_p_values(final_regrets: np.ndarray) -> list[float | None]:
    """Returns p-values of each engine's difference to the first, adjusted; None for the first.

    Args:
        final_regrets: (engines, tables, seeds), regrets at the last checkpoint, the best engine first.

    Source: Wilcoxon, Biometrics Bulletin 1 (1945); Demsar, JMLR 7 (2006), section 3.1.3, for tables as the units;
    Benjamini and Hochberg, JRSS B 57 (1995), for the adjustment.
    """
    over_tables = final_regrets.shape[1] >= MIN_TABLES_FOR_TEST
    units = final_regrets.mean(axis=2) if over_tables else final_regrets.reshape(len(final_regrets), -1)
    raw = [_wilcoxon_p_value(other - units[0]) for other in units[1:]]
    return [None, *(float(value) for value in stats.false_discovery_control(raw))] if raw else [None]


def _wilcoxon_p_value(differences: np.ndarray) -> float:
    """Returns the two-sided p of differences to the lowest mean; 1 where the ranks favour the other one.

    The mean and the ranks may disagree, where one is worse by a little mostly and better by much at times; that does
    not show the other one to be behind.
    """
    if not np.any(differences):  # the statistic would be 0 / 0
        return 1.0
    if stats.wilcoxon(differences, alternative="greater").pvalue > 0.5:
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def _regret_curve(regrets: np.ndarray) -> RegretCurve:
    by_seed = regrets.mean(axis=0)
    low, high = np.percentile(by_seed, BAND_PERCENTILES, axis=0)
    return RegretCurve(mean=tuple(by_seed.mean(axis=0).tolist()), low=tuple(low.tolist()), high=tuple(high.tolist()))
