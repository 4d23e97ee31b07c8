"""Paired tests between engines, and the ranks that follow from them.

Pure arithmetic on scores by engine and unit: a repeat of real searches, or a table. Engines share the seeds of a unit,
so they are compared unit by unit. Called by ``compute`` of each kind of comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

from scipy.stats import ttest_1samp, wilcoxon

from search.compare.results import Comparison, EnginePair, EngineResult, Metric, PairedTest
from search.leaderboard.statistics import holm, paired_difference, t_estimate

Scores = Mapping[str, Mapping[Any, float]]
"""Scores by engine and unit; lower is better."""
MIN_UNITS = 6
"""Fewest units for a p: with five, the least p of Wilcoxon's test is 2 / 2**5, above 0.05, and a mean of five tells
little of its own spread."""


def rank(scores: Scores, metric: Metric, test: PairedTest) -> Comparison:
    """Returns the engines by rank and the tested pairs.

    Args:
        scores: Of every engine; those without a score come last, in their order.
        metric: What the scores are.
        test: How engines are tested.
    """
    order = rank_engines(scores)
    pairs = paired_tests(scores, test)
    groups = group_ties(order, pairs)
    pairs_with_best = {pair.second: pair for pair in pairs if pair.first == order[0]}
    results = []
    for engine in (*order, *(engine for engine in scores if engine not in order)):
        group = next((group for group in groups if engine in group), None)
        values = list(scores[engine].values())
        results.append(
            EngineResult(
                engine=engine,
                scores=scores[engine],
                score=t_estimate(values, within=metric.limits) if values else None,
                rank=1 + sum(map(len, groups[: groups.index(group)])) if group else None,
                ties=len(group) - 1 if group else 0,
                pair_with_best=pairs_with_best.get(engine),
            )
        )
    return Comparison(metric=metric, test=test, engines=tuple(results), pairs=pairs)


def rank_engines(scores: Scores) -> list[str]:
    """Returns the engines that have a score by their mean, best first.

    The mean is over the units that all of them share, if any: an engine must not lead because its hard units are still
    to come.
    """
    nonempty = {engine: by_unit for engine, by_unit in scores.items() if by_unit}
    shared = set.intersection(*map(set, nonempty.values())) if nonempty else set()
    return sorted(nonempty, key=lambda engine: fmean(nonempty[engine][unit] for unit in shared or nonempty[engine]))


def paired_tests(scores: Scores, test: PairedTest) -> tuple[EnginePair, ...]:
    """Returns all pairs, with p adjusted for their number; a pair needs a unit in common.

    Which engine is lowest is known only after looking, so pairs with the lowest alone would not be a fair family.
    """
    candidates = combinations(rank_engines(scores), 2)
    pairs = [pair for first, second in candidates if (pair := _test_pair(scores, first, second, test))]
    adjusted = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    return tuple(pair if pair.p is None else replace(pair, p_adjusted=next(adjusted)) for pair in pairs)


def _test_pair(scores: Scores, first: str, second: str, test: PairedTest) -> EnginePair | None:
    differences = [score - scores[second][unit] for unit, score in scores[first].items() if unit in scores[second]]
    if not differences:
        return None
    return EnginePair(
        first=first,
        second=second,
        n=len(differences),
        difference=paired_difference(differences),
        p=test.p_value(differences) if len(differences) >= MIN_UNITS else None,
    )


def group_ties(order: Sequence[str], pairs: Sequence[EnginePair]) -> list[list[str]]:
    """Splits engines, best first, into ranks: those not shown to be worse than the first, then likewise the rest."""
    behind = {(pair.first, pair.second) for pair in pairs if not pair.is_tie}
    groups: list[list[str]] = []
    remaining = list(order)
    while remaining:
        groups.append([engine for engine in remaining if (remaining[0], engine) not in behind])
        remaining = [engine for engine in remaining if (remaining[0], engine) in behind]
    return groups


def paired_t(differences: Sequence[float]) -> float | None:
    """Returns the p of the paired t test; None for fewer than two differences or differences without spread.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    if paired_difference(differences).interval is None:
        return None
    return float(ttest_1samp(differences, 0.0).pvalue)


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Returns the p of the signed-rank test of differences best minus other; 1 where the ranks favour the other.

    Mean and ranks disagree where an engine is mostly a little worse and at times much better. That does not show the
    other engine to be behind.

    Source: Wilcoxon, Biometrics Bulletin 1 (1945).
    """
    if not any(differences):  # the statistic would be 0 / 0
        return 1.0
    if wilcoxon(differences, alternative="less").pvalue > 0.5:
        return 1.0
    return float(wilcoxon(differences).pvalue)
