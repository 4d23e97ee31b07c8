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

from search.comparison.results import Pair
from search.leaderboard.statistics import paired_difference

Errors = Mapping[str, Mapping[int, float]]
"""Test errors in percent by engine and repeat."""


def pairs(errors: Errors) -> tuple[Pair, ...]:
    """Returns every two engines with repeats in common, with p adjusted for the number of pairs.

    Source: Benjamini and Hochberg, "Controlling the False Discovery Rate", JRSS B 57 (1995).
    """
    found = [pair for two in combinations(ranking(errors), 2) if (pair := _pair(errors, *two)) is not None]
    tested = [pair for pair in found if pair.p is not None]
    adjusted = false_discovery_control([pair.p for pair in tested]) if tested else ()
    by_pair = {pair.engines: float(p) for pair, p in zip(tested, adjusted, strict=True)}
    return tuple(replace(pair, p_adjusted=by_pair.get(pair.engines)) for pair in found)


def ranking(errors: Errors) -> list[str]:
    """Returns the engines that have a figure by their mean, best first.

    The mean is over the repeats that all of them have, where there are some: an engine is not to be first because its
    hard repeats are still to come.
    """
    known = {name: of_engine for name, of_engine in errors.items() if of_engine}
    shared = set.intersection(*(set(of_engine) for of_engine in known.values())) if known else set()
    return sorted(known, key=lambda name: fmean(known[name][repeat] for repeat in shared or known[name]))


def _pair(errors: Errors, first: str, second: str) -> Pair | None:
    """Returns the test of one pair; None where they have no repeat in common.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    shared = sorted(errors[first].keys() & errors[second].keys())
    if not shared:
        return None
    ours, theirs = ([errors[name][repeat] for repeat in shared] for name in (first, second))
    gap = paired_difference([our - their for our, their in zip(ours, theirs, strict=True)])
    p = float(ttest_rel(ours, theirs).pvalue) if gap.interval is not None else None
    return Pair(first=first, second=second, repeats=len(shared), difference=gap, p=p)


def groups(order: Sequence[str], found: Sequence[Pair]) -> list[list[str]]:
    """Splits engines, best first: those not shown to be worse than the first of them, then in the same way the rest."""
    by_engines = {pair.engines: pair for pair in found}
    split: list[list[str]] = []
    rest = list(order)
    while rest:
        pairs_of_first = {engine: by_engines.get(frozenset((engine, rest[0]))) for engine in rest}
        behind = [engine for engine, pair in pairs_of_first.items() if pair is not None and not pair.is_tie]
        split.append([engine for engine in rest if engine not in behind])
        rest = behind
    return split
