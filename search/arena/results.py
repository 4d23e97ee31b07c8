"""What a tournament shows: regrets, ranks, and which engines its games can tell from the best.

Pure: computes from games, and knows no engine, executor or output format. Called by ``run``; read by the renderers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from search.arena.book import Slot
from search.arena.tournament import Played, Tournament
from search.leaderboard.statistics import Estimate, estimate

CHECKPOINTS = (25, 50, 100)
"""Trials after which regrets are compared, where the games are longer; and after the last trial."""
ALPHA = 0.05
TABLES_FOR_TEST = 6
"""Fewest tables for a test over tables: with five, Wilcoxon's smallest p is 2 / 2**5, above 0.05."""
BAND = (25, 75)
"""Percentiles over seeds that a curve's band lies between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How an engine did.

    Args:
        engine: Such as "optuna:tpe".
        regrets: By checkpoint, the mean normalised regret over tables and seeds, with a 95 % interval over the tables'
            means.
        mean_rank: Mean over tables of its rank by mean regret at the last checkpoint; 1 is best, ties share.
        seconds_a_trial: Median over games of the wall-clock seconds that the engine itself took for a trial.
        p_value: Of the difference to the best engine, adjusted for the number of comparisons; None for the best.
    """

    engine: str
    regrets: Mapping[int, Estimate]
    mean_rank: float
    seconds_a_trial: float
    p_value: float | None

    @property
    def is_tie(self) -> bool:
        """Whether the games do not tell it from the best."""
        return self.p_value is not None and self.p_value >= ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
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
class Result:
    """What a tournament shows.

    Args:
        tournament: What was played.
        tables: The tables' names.
        checkpoints: Trials after which regrets are given, rising.
        rows: One an engine, the lowest regret at the last checkpoint first.
        curves: One an engine, in the same order.
        over_tables: Whether p-values are over tables, or over pairs of table and seed, where tables are too few.
        left_out: Engines that could not play, and why.
        versions: Of Python and the libraries that played.
        command: The command that shows it again; empty where there is none.
    """

    tournament: Tournament
    tables: tuple[str, ...]
    checkpoints: tuple[int, ...]
    rows: tuple[Row, ...]
    curves: Mapping[str, Curve]
    over_tables: bool
    left_out: Mapping[str, str]
    versions: Mapping[str, str]
    command: str = ""


def compute(played: Played, *, command: str = "") -> Result:
    """Returns what the games show."""
    tournament = played.tournament
    names = [choice.name for choice in tournament.engines if choice.name not in played.left_out]
    regrets = {name: _regrets(played, name) for name in names}
    checkpoints = (*(count for count in CHECKPOINTS if count < tournament.trials), tournament.trials)
    order = sorted(names, key=lambda name: float(regrets[name][:, :, -1].mean()))
    finals = np.array([regrets[name][:, :, -1] for name in order])
    ranks = stats.rankdata(finals.mean(axis=2), axis=0).mean(axis=1)
    p_values = _p_values(finals)
    rows = [
        Row(
            engine=name,
            regrets={count: estimate(regrets[name][:, :, count - 1].mean(axis=1).tolist()) for count in checkpoints},
            mean_rank=float(rank),
            seconds_a_trial=_seconds_a_trial(played, name),
            p_value=p_value,
        )
        for name, rank, p_value in zip(order, ranks, p_values, strict=True)
    ]
    return Result(
        tournament=tournament,
        tables=played.tables,
        checkpoints=checkpoints,
        rows=tuple(rows),
        curves={name: _curve(regrets[name]) for name in order},
        over_tables=len(played.tables) >= TABLES_FOR_TEST,
        left_out=played.left_out,
        versions=played.versions,
        command=command,
    )


def _regrets(played: Played, engine: str) -> np.ndarray:
    """Returns an engine's regrets as (tables, seeds, trials); one that had nothing left keeps its last regret."""
    repeats, trials = range(played.tournament.repeats), played.tournament.trials
    slots = [[Slot(engine=engine, table=table, repeat=repeat) for repeat in repeats] for table in played.tables]
    return np.array([[_filled(played.games[slot].regrets, trials) for slot in row] for row in slots])


def _filled(regrets: Sequence[float], trials: int) -> list[float]:
    return [*regrets, *[regrets[-1]] * (trials - len(regrets))]


def _seconds_a_trial(played: Played, engine: str) -> float:
    games = [trace for slot, trace in played.games.items() if slot.engine == engine]
    return float(np.median([trace.engine_seconds / len(trace.regrets) for trace in games]))


def _p_values(finals: np.ndarray) -> list[float | None]:
    """Returns p-values of each engine's difference to the first, adjusted; None for the first.

    Args:
        finals: (engines, tables, seeds), regrets at the last checkpoint, the best engine first.

    Source: Wilcoxon, Biometrics Bulletin 1 (1945); Demsar, JMLR 7 (2006), section 3.1.3, for tables as the units;
    Benjamini and Hochberg, JRSS B 57 (1995), for the adjustment.
    """
    over_tables = finals.shape[1] >= TABLES_FOR_TEST
    units = finals.mean(axis=2) if over_tables else finals.reshape(len(finals), -1)
    raw = [_wilcoxon(other - units[0]) for other in units[1:]]
    return [None, *(float(value) for value in stats.false_discovery_control(raw))] if raw else [None]


def _wilcoxon(differences: np.ndarray) -> float:
    """Returns the two-sided p of differences to the lowest mean; 1 where the ranks favour the other one.

    The mean and the ranks may disagree, where one is worse by a little mostly and better by much at times; that does
    not show the other one to be behind.
    """
    if not np.any(differences):  # the statistic would be 0 / 0
        return 1.0
    if stats.wilcoxon(differences, alternative="greater").pvalue > 0.5:
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def _curve(regrets: np.ndarray) -> Curve:
    by_seed = regrets.mean(axis=0)
    low, high = np.percentile(by_seed, BAND, axis=0)
    return Curve(mean=tuple(by_seed.mean(axis=0).tolist()), low=tuple(low.tolist()), high=tuple(high.tolist()))
