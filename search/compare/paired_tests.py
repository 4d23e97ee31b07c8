"""Paired tests between engines, over repeats, and the ranks that follow from them.

Pure arithmetic on test errors by repeat. The studies of one repeat share the baseline's seed, the seeds of their trials
and those of verification, so that they are compared repeat by repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

from scipy.stats import false_discovery_control, ttest_rel

from search.compare.results import EnginePair
from search.leaderboard.statistics import paired_difference

ErrorsByEngine = Mapping[str, Mapping[int, float]]
"""Test errors in percent by engine and repeat."""


def paired_tests(errors: ErrorsByEngine) -> tuple[EnginePair, ...]:
    """Returns every two engines with repeats in common, with p adjusted for the number of pairs.

    Source: Benjamini and Hochberg, "Controlling the False Discovery Rate", JRSS B 57 (1995).
    """
    unadjusted = [
        pair for two in combinations(rank_engines(errors), 2) if (pair := _paired_test(errors, *two)) is not None
    ]
    with_p = [pair for pair in unadjusted if pair.p is not None]
    adjusted = false_discovery_control([pair.p for pair in with_p]) if with_p else ()
    by_pair = {pair.engines: float(p) for pair, p in zip(with_p, adjusted, strict=True)}
    return tuple(replace(pair, p_adjusted=by_pair.get(pair.engines)) for pair in unadjusted)


def rank_engines(errors: ErrorsByEngine) -> list[str]:
    """Returns the engines that have a figure by their mean, best first.

    The mean is over the repeats that all of them have, where there are some: an engine is not to be first because its
    hard repeats are still to come.
    """
    nonempty = {name: of_engine for name, of_engine in errors.items() if of_engine}
    shared = set.intersection(*(set(of_engine) for of_engine in nonempty.values())) if nonempty else set()
    return sorted(nonempty, key=lambda name: fmean(nonempty[name][repeat] for repeat in shared or nonempty[name]))


def _paired_test(errors: ErrorsByEngine, first: str, second: str) -> EnginePair | None:
    """Returns the test of one pair; None where they have no repeat in common.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    shared = sorted(errors[first].keys() & errors[second].keys())
    if not shared:
        return None
    first_errors, second_errors = ([errors[name][repeat] for repeat in shared] for name in (first, second))
    difference = paired_difference([our - their for our, their in zip(first_errors, second_errors, strict=True)])
    p = float(ttest_rel(first_errors, second_errors).pvalue) if difference.interval is not None else None
    return EnginePair(first=first, second=second, repeats=len(shared), difference=difference, p=p)


def group_ties(order: Sequence[str], paired: Sequence[EnginePair]) -> list[list[str]]:
    """Splits engines, best first: those not shown to be worse than the first of them, then in the same way the rest."""
    by_engines = {pair.engines: pair for pair in paired}
    tie_groups: list[list[str]] = []
    remaining = list(order)
    while remaining:
        pairs_with_first = {engine: by_engines.get(frozenset((engine, remaining[0]))) for engine in remaining}
        behind = [engine for engine, pair in pairs_with_first.items() if pair is not None and not pair.is_tie]
        tie_groups.append([engine for engine in remaining if engine not in behind])
        remaining = behind
    return tie_groups
