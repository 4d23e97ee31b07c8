"""What a tournament shows, in plain sentences and words that every renderer for people shares.

Knows results; no output format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.compare.tabular.results import TabularComparison, TabularEngineResult
from search.leaderboard.statistics import Estimate

REGRET_DEFINITION = """\
Regret is how far the configuration that a search would hand over lies from the best of its table: 0 is the table's best
configuration, 1 its worst, by the mean over the table's training seeds. A search sees one training run of a
configuration and hands over the one with the lowest error it saw, so a lucky run can make its regret rise."""


def summary_sentences(result: TabularComparison) -> list[str]:
    """Returns the sentences: who leads, who ties with it, who is behind, and by which test."""
    return list(_sentences(result))


def _sentences(result: TabularComparison) -> Iterator[str]:
    best, *others = result.rows
    trials, mean = result.trial_counts[-1], best.regrets[result.trial_counts[-1]]
    figure = f"mean normalised regret {format_estimate(mean)} after {trials} trials"
    interval = f" (95 % interval over {len(result.tables)} tables)" if mean.interval else ""
    if not others:
        yield f"Only {best.engine} played: {figure}{interval}."
        return
    ties, behind = [row for row in others if row.is_tie], [row for row in others if not row.is_tie]
    yield f"{'Lowest mean' if ties else 'Winner'}: {best.engine}, {figure}{interval}."
    if ties:
        yield f"These games do not tell it from {_names_with_p_values(ties)}: a tie."
    if behind:
        yield f"Behind it: {_names_with_p_values(behind)}."
    yield _test_sentence(result)
    if result.spec.workers == 1:  # with several the baseline need not be the first to end
        yield f"Every engine began with the baseline, regret {format_regret(result.curves[best.engine].mean[0])}."


def _names_with_p_values(rows: Sequence[TabularEngineResult]) -> str:
    return ", ".join(f"{row.engine} (p {_p_value_relation(row)})" for row in rows)


def _p_value_relation(row: TabularEngineResult) -> str:
    text = format_p_value(row)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"


def _test_sentence(result: TabularComparison) -> str:
    if result.over_tables:
        units = f"the mean regrets of {len(result.tables)} tables, engines paired by table"
    else:
        pairs = len(result.tables) * result.spec.repeats
        units = f"{pairs} pairs of table and seed (the tables are too few to stand for others)"
    comparisons = len(result.rows) - 1
    return (
        f"Test: Wilcoxon's signed ranks against the lowest, over {units}; p-values adjusted after Benjamini and "
        f"Hochberg for the number of comparisons, {comparisons}; a tie from p = 0.05 on."
    )


def format_regret(value: float) -> str:
    """Returns a regret with four decimals."""
    return f"{value:.4f}"


def format_estimate(value: Estimate) -> str:
    """Returns a mean regret with its interval, where it has one: "0.0123 ± 0.0045"."""
    return (
        f"{format_regret(value.mean)} ± {value.interval.half_width:.4f}"
        if value.interval
        else format_regret(value.mean)
    )


def format_p_value(row: TabularEngineResult) -> str:
    """Returns a p-value with three decimals; nothing for the best engine."""
    if row.p_adjusted is None:
        return ""
    return "<0.001" if row.p_adjusted < 0.001 else f"{row.p_adjusted:.3f}"


def standing(row: TabularEngineResult) -> str:
    """Returns how an engine stands to the best: "lowest", "tie" or "behind"."""
    return "lowest" if row.p_adjusted is None else "tie" if row.is_tie else "behind"


def format_comparison(row: TabularEngineResult) -> str:
    """Returns the p-value and what it says: "lowest", "0.310 tie" or "0.012"."""
    return "lowest" if row.p_adjusted is None else f"{format_p_value(row)} tie" if row.is_tie else format_p_value(row)


def format_milliseconds(row: TabularEngineResult) -> str:
    """Returns the milliseconds that an engine took for a trial, to two digits or the whole."""
    value = 1000 * row.seconds_per_trial
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
