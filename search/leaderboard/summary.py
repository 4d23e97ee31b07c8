"""Summarizes a section in sentences: the winner, its difference to baseline and tutorial, caveats, cost.

Called by the renderers for people; JSON has the sentences under "verdict".
"""

from __future__ import annotations

from collections.abc import Iterator

from search.leaderboard import formatting
from search.leaderboard.board import Ensemble, Row, Section, SelectionBias
from search.leaderboard.statistics import Difference
from search.trial import RECIPE_PREFIX


def section_title(section: Section) -> str:
    """Returns what the rows of a section share: "mnist, protocol holdout 1.0, data 3f2a91c0bd55"."""
    protocol = section.protocol
    data = protocol.data_sha256[:12]
    return formatting.one_line(f"{protocol.dataset}, protocol {protocol.name.value} {protocol.version}, data {data}")


def cost_line(section: Section) -> str:
    """Returns the number of search trials by state, and the time spent."""
    states = [f"{number} {formatting.state_text(state)}" for state, number in sorted(section.states.items())]
    trials = f"Search trials: {', '.join(states)}. " if states else ""
    hidden = f" Rows left out here: {section.hidden_rows}." if section.hidden_rows else ""
    return f"{trials}Time spent: {formatting.duration(section.spent_seconds)}.{hidden}"


def summary_sentences(section: Section) -> list[str]:
    """Returns the sentences, one line each."""
    return [formatting.one_line(sentence) for sentence in _sentences(section)]


def _sentences(section: Section) -> Iterator[str]:
    if section.ranked:
        winner = section.ranked[0]
        yield _winner(winner, is_only_row=len(section.ranked) == 1)
        if winner.rank_range and winner.rank_range[1] > 1:
            first, last = winner.rank_range
            yield f"These runs do not establish its rank: it may have any rank from {first} to {last}."
        yield from _short_trainings(winner)
        yield from _to_baseline(winner)
        yield from _to_best_recipe(winner)
        yield from _to_tutorial(winner)
        yield from map(_selection_bias, section.selections)
        yield from map(_ensemble, section.ensembles)
    else:
        yield "Nothing here was verified on the test images, so nothing is ranked."
    yield from sorted({f"Caution: {row.caveat}." for row in section.rows if row.caveat})
    times = "once" if section.test_openings == 1 else f"{section.test_openings:,} times"
    yield f"The test images were scored {times}."


def _winner(row: Row, *, is_only_row: bool) -> str:
    assert row.test_error is not None
    is_tied = row.rank_range is not None and row.rank_range[1] > 1
    head = "Verified" if is_only_row else "Lowest mean" if is_tied else "Winner"
    runs = f"{row.test_error.n} seeds: {', '.join(str(run.seed) for run in row.completed_replicates)}"
    mean = formatting.percent(row.test_error.mean)
    if row.test_error.interval:
        figure = f"{formatting.estimate(row.test_error)} % (95 % interval; {runs})"
    elif row.test_error.n == 1:
        figure = f"{mean} % from one seed, {row.completed_replicates[0].seed}, so without an interval"
    else:
        figure = f"{mean} % each time, so without an interval ({runs})"
    return f"{head}: {row.name} of study {row.study.name}, test error {figure}."


def _selection_bias(bias: SelectionBias) -> str:
    before, after = formatting.percent(bias.validation_error_percent), formatting.percent(bias.test_error_percent)
    text = (
        f"Selection effect in study {bias.study}: {bias.chosen}, whose validation error is the lowest of {bias.tried}, "
        f"went from {before} % to {after} % on the test images "
        f"({formatting.percentage_points(bias.validation_test_gap)} points)"
    )
    if bias.baseline_shift is None:
        return f"{text}."
    shift = formatting.percentage_points(bias.baseline_shift)
    return f"{text}; the baseline, which was not selected, moved by {shift}."


def _ensemble(ensemble: Ensemble) -> str:
    bounds = formatting.interval_bounds(ensemble.interval)
    interval = f" (95 % interval over test images alone: {bounds})" if bounds else ""
    models, error = sum(ensemble.members.values()), formatting.percent(ensemble.error_percent)
    return f"E{ensemble.label[1:]} of study {ensemble.study.name}, {models} models: test error {error} %{interval}."


def _to_baseline(row: Row) -> Iterator[str]:
    difference = row.baseline_difference
    if row.is_baseline:
        yield "It is the baseline itself: nothing verified has a lower mean."
    elif difference is None and row.trial is not None:
        yield "Its study has no verified baseline to compare it with."
    elif difference:
        yield f"Difference to the baseline: {_difference(difference)}."


def _to_best_recipe(row: Row) -> Iterator[str]:
    """Yields what the search gained over the best recipe."""
    if row.best_recipe:
        name = row.best_recipe.recipe.removeprefix(RECIPE_PREFIX)
        yield f"Difference to the best recipe, {name}: {_difference(row.best_recipe.difference)}."
    elif row.is_recipe:
        yield "It is the best recipe itself: no configuration that the engine proposed has a lower verified mean."


def _difference(difference: Difference) -> str:
    figure = formatting.with_interval(formatting.percentage_points(difference.mean), difference.interval)
    pairing = "paired by seed" if difference.paired else "seeds not paired"
    tie = ": a tie, for the interval holds 0" if difference.is_tie else ""
    detail = f" (95 % interval, {pairing}){tie}" if difference.interval else ", without an interval: counted as a tie"
    return f"{figure} percentage points{detail}"


def _short_trainings(winner: Row) -> Iterator[str]:
    """Yields that the first row is a short training, where no full one was verified."""
    if winner.is_short:
        epochs = formatting.epochs(winner.schedule_epochs)
        yield (
            f"Caution: it was trained for {epochs}, not the {winner.study.protocol.epochs} of a full trial; no full "
            "trial was verified."
        )


def _to_tutorial(row: Row) -> Iterator[str]:
    if row.tutorial_difference is not None and row.error_percent is not None:
        tutorial = formatting.percent(row.error_percent - row.tutorial_difference)
        difference = formatting.percentage_points(row.tutorial_difference)
        yield f"Difference to the tutorial's {tutorial} %: {difference} percentage points."
