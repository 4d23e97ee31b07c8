"""What a tournament shows, in plain sentences and words that every renderer for people shares.

Knows results; no output format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.arena.results import Result, Row
from search.leaderboard.statistics import Estimate

REGRET = """\
Regret is how far the configuration that a search would hand over lies from the best of its table: 0 is the table's best
configuration, 1 its worst, by the mean over the table's training seeds. A search sees one training run of a
configuration and hands over the one with the lowest error it saw, so a lucky run can make its regret rise."""


def verdict(result: Result) -> list[str]:
    """Returns the sentences: who leads, who ties with it, who is behind, and by which test."""
    return list(_sentences(result))


def _sentences(result: Result) -> Iterator[str]:
    best, *others = result.rows
    trials, mean = result.checkpoints[-1], best.regrets[result.checkpoints[-1]]
    figure = f"mean normalised regret {estimate(mean)} after {trials} trials"
    interval = f" (95 % interval over {len(result.tables)} tables)" if mean.interval else ""
    if not others:
        yield f"Only {best.engine} played: {figure}{interval}."
        return
    ties, behind = [row for row in others if row.is_tie], [row for row in others if not row.is_tie]
    yield f"{'Lowest mean' if ties else 'Winner'}: {best.engine}, {figure}{interval}."
    if ties:
        yield f"These games do not tell it from {_named(ties)}: a tie."
    if behind:
        yield f"Behind it: {_named(behind)}."
    yield _test(result)
    if result.tournament.workers == 1:  # with several the baseline need not be the first to end
        yield f"Every engine began with the baseline, regret {regret(result.curves[best.engine].mean[0])}."


def _named(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row.engine} (p {_relation(row)})" for row in rows)


def _relation(row: Row) -> str:
    text = probability(row)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"


def _test(result: Result) -> str:
    if result.over_tables:
        units = f"the mean regrets of {len(result.tables)} tables, engines paired by table"
    else:
        pairs = len(result.tables) * result.tournament.repeats
        units = f"{pairs} pairs of table and seed (the tables are too few to stand for others)"
    comparisons = len(result.rows) - 1
    return (
        f"Test: Wilcoxon's signed ranks against the lowest, over {units}; p-values adjusted after Benjamini and "
        f"Hochberg for the number of comparisons, {comparisons}; a tie from p = 0.05 on."
    )


def regret(value: float) -> str:
    """Returns a regret with four decimals."""
    return f"{value:.4f}"


def estimate(value: Estimate) -> str:
    """Returns a mean regret with its interval, where it has one: "0.0123 ± 0.0045"."""
    return f"{regret(value.mean)} ± {value.interval.half_width:.4f}" if value.interval else regret(value.mean)


def probability(row: Row) -> str:
    """Returns a p-value with three decimals; nothing for the best engine."""
    if row.p_value is None:
        return ""
    return "<0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"


def standing(row: Row) -> str:
    """Returns how an engine stands to the best: "lowest", "tie" or "behind"."""
    return "lowest" if row.p_value is None else "tie" if row.is_tie else "behind"


def comparison(row: Row) -> str:
    """Returns the p-value and what it says: "lowest", "0.310 tie" or "0.012"."""
    return "lowest" if row.p_value is None else f"{probability(row)} tie" if row.is_tie else probability(row)


def milliseconds(row: Row) -> str:
    """Returns the milliseconds that an engine took for a trial, to two digits or the whole."""
    value = 1000 * row.seconds_a_trial
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
