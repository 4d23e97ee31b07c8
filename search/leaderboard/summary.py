"""The verdict: what a section shows, in plain sentences. Every renderer for people ends with it.

Knows rows and words; no output format.
"""

from __future__ import annotations

from collections.abc import Iterator

from search.leaderboard import formatting
from search.leaderboard.board import Ensemble, Row, Section, SelectionBias


def summary_sentences(section: Section) -> list[str]:
    """Returns the sentences: the winner, how it stands to the baseline and the tutorial, what the figures rest on."""
    return [formatting.one_line(sentence) for sentence in _sentences(section)]


def _sentences(section: Section) -> Iterator[str]:
    if section.ranked:
        winner = section.ranked[0]
        yield _winner(winner, alone=len(section.ranked) == 1)
        yield from _rank_range_sentence(winner)
        yield from _to_baseline(winner)
        yield from _to_tutorial(winner)
        yield from map(_selection_bias_sentence, section.selections)
        yield from map(_ensemble, section.ensembles)
    else:
        yield "Nothing here was verified on the test images, so nothing is ranked."
    yield from sorted({f"Caution: {row.caveat}." for row in section.rows if row.caveat})
    times = "once" if section.test_openings == 1 else f"{section.test_openings:,} times"
    yield f"The test images were scored {times}."


def _winner(row: Row, *, alone: bool) -> str:
    assert row.test_error is not None
    head = "Verified" if alone else "Lowest mean" if _is_tied(row) else "Winner"
    runs = f"{row.test_error.n} seeds: {', '.join(str(run.seed) for run in row.completed_replicates)}"
    if row.test_error.interval:
        figure = f"{formatting.estimate(row.test_error)} % (95 % interval; {runs})"
    elif row.test_error.n == 1:
        figure = (
            f"{formatting.percent(row.test_error.mean)} % from one seed, {row.completed_replicates[0].seed}, "
            "so without an interval"
        )
    else:
        figure = f"{formatting.percent(row.test_error.mean)} % each time, so without an interval ({runs})"
    return f"{head}: {row.name} of study {row.study.name}, test error {figure}."


def _is_tied(row: Row) -> bool:
    return row.rank_range is not None and row.rank_range[1] > 1


def _rank_range_sentence(row: Row) -> Iterator[str]:
    if row.rank_range and _is_tied(row):
        yield (
            f"These runs do not establish its place: it may have any rank from {row.rank_range[0]} to "
            f"{row.rank_range[1]}."
        )


def _selection_bias_sentence(bias: SelectionBias) -> str:
    """Says what became of the lowest validation error."""
    study, name = bias.study, bias.chosen
    figures = (
        f"{formatting.percent(bias.validation_error_percent)} % to {formatting.percent(bias.test_error_percent)} %"
    )
    text = (
        f"Selection effect in study {study}: {name}, whose validation error is the lowest of {bias.tried}, went from "
        f"{figures} on the test images ({formatting.percentage_points(bias.validation_test_gap)} points)"
    )
    if bias.baseline_shift is None:
        return f"{text}."
    return f"{text}; the baseline, which nobody chose, moved by {formatting.percentage_points(bias.baseline_shift)}."


def _ensemble(ensemble: Ensemble) -> str:
    figure = formatting.percent(ensemble.error_percent)
    interval = (
        f" (95 % interval over test images alone: {formatting.interval_bounds(ensemble.interval)})"
        if ensemble.interval
        else ""
    )
    models = sum(ensemble.members.values())
    return f"E{ensemble.label[1:]} of study {ensemble.study.name}, {models} models: test error {figure} %{interval}."


def _to_baseline(row: Row) -> Iterator[str]:
    difference = row.baseline_difference
    if row.is_baseline:
        yield "It is the baseline itself: nothing verified has a lower mean."
    elif difference is None and row.trial is not None:
        yield "Its study has no verified baseline to compare it with."
    elif difference and difference.interval:
        pairing = "paired by seed" if difference.paired else "seeds not paired"
        tie = ": a tie, for the interval holds 0" if difference.is_tie else ""
        figure = f"{formatting.percentage_points(difference.mean)} {formatting.plus_minus(difference.interval)}"
        yield f"Difference to the baseline: {figure} percentage points (95 % interval, {pairing}){tie}."
    elif difference:
        figure = formatting.percentage_points(difference.mean)
        yield f"Difference to the baseline: {figure} percentage points, without an interval: counted as a tie."


def _to_tutorial(row: Row) -> Iterator[str]:
    if row.tutorial_difference is not None and row.test_error is not None:
        figure = formatting.percent(row.test_error.mean - row.tutorial_difference)
        yield (
            f"Difference to the tutorial's {figure} %: {formatting.percentage_points(row.tutorial_difference)} "
            "percentage points."
        )
