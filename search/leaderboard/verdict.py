"""The verdict: what a section shows, in plain sentences. Every renderer for people ends with it.

Knows rows and words; no output format.
"""

from __future__ import annotations

from collections.abc import Iterator

from search.leaderboard import words
from search.leaderboard.board import Ensemble, Row, Section, Selection


def verdict(section: Section) -> list[str]:
    """Returns the sentences: the winner, how it stands to the baseline and the tutorial, what the figures rest on."""
    return [words.one_line(sentence) for sentence in _sentences(section)]


def _sentences(section: Section) -> Iterator[str]:
    if section.ranked:
        winner = section.ranked[0]
        yield _winner(winner, alone=len(section.ranked) == 1)
        yield from _ties(winner)
        yield from _to_baseline(winner)
        yield from _to_tutorial(winner)
        yield from map(_selected, section.selections)
        yield from map(_ensemble, section.ensembles)
    else:
        yield "Nothing here was verified on the test images, so nothing is ranked."
    yield from sorted({f"Caution: {row.caveat}." for row in section.rows if row.caveat})
    times = "once" if section.test_openings == 1 else f"{section.test_openings:,} times"
    yield f"The test images were scored {times}."


def _winner(row: Row, *, alone: bool) -> str:
    assert row.test is not None
    head = "Verified" if alone else "Lowest mean" if _is_tied(row) else "Winner"
    runs = f"{row.test.n} seeds: {', '.join(str(run.seed) for run in row.complete)}"
    if row.test.interval:
        figure = f"{words.estimate(row.test)} % (95 % interval; {runs})"
    elif row.test.n == 1:
        figure = f"{words.percent(row.test.mean)} % from one seed, {row.complete[0].seed}, so without an interval"
    else:
        figure = f"{words.percent(row.test.mean)} % each time, so without an interval ({runs})"
    return f"{head}: {row.name} of study {row.study.name}, test error {figure}."


def _is_tied(row: Row) -> bool:
    return row.ranks is not None and row.ranks[1] > 1


def _ties(row: Row) -> Iterator[str]:
    if row.ranks and _is_tied(row):
        yield f"These runs do not establish its place: it may have any rank from {row.ranks[0]} to {row.ranks[1]}."


def _selected(chosen: Selection) -> str:
    """Says what became of the lowest validation error."""
    study, name = chosen.study, chosen.chosen
    figures = f"{words.percent(chosen.validation_error_percent)} % to {words.percent(chosen.test_error_percent)} %"
    text = (
        f"Selection effect in study {study}: {name}, whose validation error is the lowest of {chosen.tried}, went from "
        f"{figures} on the test images ({words.points(chosen.shift)} points)"
    )
    if chosen.baseline_shift is None:
        return f"{text}."
    return f"{text}; the baseline, which nobody chose, moved by {words.points(chosen.baseline_shift)}."


def _ensemble(one: Ensemble) -> str:
    figure = words.percent(one.error_percent)
    interval = f" (95 % interval over test images alone: {words.within(one.interval)})" if one.interval else ""
    models = sum(one.members.values())
    return f"E{one.label[1:]} of study {one.study.name}, {models} models: test error {figure} %{interval}."


def _to_baseline(row: Row) -> Iterator[str]:
    gap = row.to_baseline
    if row.is_baseline:
        yield "It is the baseline itself: nothing verified has a lower mean."
    elif gap is None and row.trial is not None:
        yield "Its study has no verified baseline to compare it with."
    elif gap and gap.interval:
        how = "paired by seed" if gap.paired else "seeds not paired"
        tie = ": a tie, for the interval holds 0" if gap.is_tie else ""
        figure = f"{words.points(gap.mean)} {words.plus_minus(gap.interval)}"
        yield f"Difference to the baseline: {figure} percentage points (95 % interval, {how}){tie}."
    elif gap:
        figure = words.points(gap.mean)
        yield f"Difference to the baseline: {figure} percentage points, without an interval: counted as a tie."


def _to_tutorial(row: Row) -> Iterator[str]:
    if row.to_tutorial is not None and row.test is not None:
        figure = words.percent(row.test.mean - row.to_tutorial)
        yield f"Difference to the tutorial's {figure} %: {words.points(row.to_tutorial)} percentage points."
