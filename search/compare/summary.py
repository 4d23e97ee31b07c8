"""What a comparison shows, in plain sentences: the best engine, its ties, the engines behind it, and the test.

Shared by both kinds of comparison and all reports, whatever their format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.compare.paired_tests import MIN_UNITS
from search.compare.results import ALPHA, Comparison, EnginePair, EngineResult, Metric
from search.leaderboard import formatting


def summary_sentences(comparison: Comparison) -> Iterator[str]:
    """Yields the sentences; none where no engine has a score."""
    ranked, units = [result for result in comparison.engines if result.score], comparison.test.units
    if not ranked:
        return
    best, *others = ranked
    yield _best_sentence(comparison.metric, best, is_alone=not others)
    ties = [result for result in others if result.pair_with_best and result.pair_with_best.is_tie]
    behind = [result for result in others if result.pair_with_best and not result.pair_with_best.is_tie]
    if ties:
        yield f"It ties with {_names(comparison.metric, ties)}: these {units} do not establish an order among them."
    if behind:
        yield f"It is better than {_names(comparison.metric, behind)}."
    if others and not ties and not behind:
        yield f"{best.engine} shares no finished {units} with another engine, so nothing is compared."
    if tested := [pair for pair in comparison.pairs if pair.p is not None]:
        yield (
            f"Test: {comparison.test.name}; p adjusted for {plural(len(tested), 'pair')} after Holm; a tie from "
            f"p = {ALPHA:g} on."
        )
    elif comparison.pairs:
        yield f"There is no p: it needs {MIN_UNITS} {units} in common and some spread. Without a p it is a tie."


def _best_sentence(metric: Metric, best: EngineResult, *, is_alone: bool) -> str:
    assert best.score is not None
    head = "Only engine" if is_alone else "Lowest mean" if best.ties else "Best"
    sample = plural(best.score.n, metric.sample)
    if best.score.interval:
        figure, basis = formatting.estimate(best.score, metric.digits), f"95 % interval over {sample}"
    else:
        figure, basis = f"{best.score.mean:.{metric.digits}f}", f"{sample}, without an interval"
    return f"{head}: {best.engine}, {metric.name} {figure}{metric.unit} ({basis})."


def _names(metric: Metric, results: Sequence[EngineResult]) -> str:
    """Returns engines with their difference to the best: "a (-0.31 percentage points, p = 0.004) and b (...)"."""
    names = []
    for result in results:
        pair = result.pair_with_best
        assert pair is not None
        p = pair.p_adjusted
        relation = "no p" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        names.append(
            f"{result.engine} ({pair.difference.mean:+z.{metric.digits}f}{metric.difference_unit}, {relation})"
        )
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def format_p(pair: EnginePair | None) -> str:
    """Returns the adjusted p for a table cell: "0.012", "0.310 tie" or "tie, no p"; empty without a pair."""
    if pair is None:
        return ""
    if pair.p_adjusted is None:
        return "tie, no p"
    p = "<0.001" if pair.p_adjusted < 0.001 else f"{pair.p_adjusted:.3f}"
    return f"{p} tie" if pair.is_tie else p


def plural(count: int, noun: str) -> str:
    """Returns "1 repeat" or "3 repeats"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
