"""Summarizes a section in sentences: the chosen row, its difference to baseline and tutorial, caveats, cost.

Called by the renderers for people; JSON has the sentences under "verdict".
"""

from __future__ import annotations

from collections.abc import Iterator

from search.leaderboard import formatting
from search.leaderboard.board import Row, Section, constant_error_percent
from search.leaderboard.row_parts import Ensemble
from search.leaderboard.statistics import Difference, Verdict
from search.protocol import Objective
from search.trial import RECIPE_PREFIX
from spaces.registry import baseline_changes


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
    row = section.headline
    if row is not None:
        yield _headline(section, row)
        if row.rank_range and row.rank_range != (1, 1):
            first, last = row.rank_range
            yield (
                f"These runs leave its rank open: {first} to {last} of {len(section.ranked)}."
                if first != last
                else (f"Its rank on the test images is {first}.")
            )
        yield from _objective(section, row)
        yield from _short_trainings(row)
        yield from _to_baseline(section, row)
        yield from _to_best_recipe(section, row)
        yield from _without_test_runs(section, row)
        yield from _to_tutorial(row)
        yield from _changed_baselines(section)
        yield from _limits(section)
        yield from (_ensemble(section, ensemble) for ensemble in section.ensembles)
        yield from _to_constant(section, row)
        yield _units(section)
    else:
        said = "Nothing within the limits here" if section.ranked else "Nothing here"
        yield f"{said} was verified on the test images{'' if section.ranked else ', so nothing is ranked'}."
        yield from _limits(section)
    yield from sorted({f"Caution: {row.caveat}." for row in section.rows if row.caveat})
    if equal := max(study.equal_images for study in section.studies):
        yield f"Caution: {equal:,} of the test images equal a training image; the error on them says little."
    yield from _taken_over(section)
    yield _openings(section)


def _to_constant(section: Section, row: Row) -> Iterator[str]:
    """Yields the error of the best constant answer where the classes are unbalanced."""
    if section.is_unbalanced:
        constant = formatting.percent(constant_error_percent(section.test_class_counts))
        balanced = formatting.percent(row.balanced_error_percent)
        mean = f"; as a mean over the classes, the error of {row.name} is {balanced} %" if balanced else ""
        yield f"The classes are unbalanced: always answering the largest has a test error of {constant} %{mean}."


def _headline(section: Section, row: Row) -> str:
    assert row.test_error is not None
    if len(section.chosen) > 1:
        head = f"Lowest of {len(section.chosen)} looked at on the test images, each chosen by its study"
    elif len(section.ranked) == 1:
        head = "Verified"
    else:
        head = "Chosen by validation"
    return f"{head}: {row.name} of {_studies(row)}, test error {_error(row)}."


def _objective(section: Section, row: Row) -> Iterator[str]:
    """Yields what was minimized and chosen by where it is not the error, with its figures."""
    for study in section.studies:
        objective = Objective.of_metric(study.objective)
        if objective is Objective.ERROR:
            continue
        of = f"Study {study.name}" if len(section.studies) > 1 else "The search"
        yield f"{of} minimizes the {formatting.objective_name(study)} and chooses by it; ranks are by test error."
    losses = [formatting.log_loss(row.log_loss), formatting.log_loss(row.validation_log_loss)]
    if set(section.objectives) != {Objective.ERROR} and all(losses):
        balanced = [
            formatting.percent(row.balanced_error_percent),
            formatting.percent(row.validation_balanced_error_percent),
        ]
        errors = f"balanced error {balanced[0]} % (validation {balanced[1]} %), " if all(balanced) else ""
        yield f"Of {row.name}: {errors}log loss {losses[0]} (validation {losses[1]})."


def _studies(row: Row) -> str:
    names = row.study_names
    return f"study {names[0]}" if len(names) == 1 else f"studies {', '.join(names)}"


def _error(row: Row) -> str:
    assert row.test_error is not None
    seeds = ", ".join(str(run.seed) for run in row.completed_replicates)
    runs = f"{row.test_error.n} seeds: {seeds}" if row.test_error.n > 1 else f"one seed: {seeds}"
    mean = formatting.percent(row.test_error.mean)
    if row.test_error.interval:
        return f"{mean} % (95 % interval {formatting.interval_bounds(row.test_error.interval)}; {runs})"
    if row.test_error.n == 1:
        return f"{mean} %, without an interval ({runs})"
    return f"{mean} % each time, so without an interval ({runs})"


def _units(section: Section) -> str:
    """Returns what the intervals take as the units of the test set."""
    if section.image_groups is None:
        return "Intervals: images taken as independent, since nothing says which belong together."
    units = f"{section.image_groups:,} writers or other groups of the test images"
    return f"Intervals count the {units}, not single images."


def _without_test_runs(section: Section, row: Row) -> Iterator[str]:
    """Yields what would be chosen if it had a complete test run: for want of time it has none."""
    if row.objective is None:
        return
    better = [
        (other.objective, other.name)
        for other in section.unverified
        if not other.is_too_large
        if other.study.name in row.chosen_in and not other.is_short and other.epochs == row.epochs
        if other.objective is not None and other.objective < row.objective
    ]
    if better:
        figure = formatting.objective_name(row.study)
        yield f"{min(better)[1]} has a lower {figure}, but no complete test run; more time verifies it."


def _taken_over(section: Section) -> Iterator[str]:
    """Yields which rows have test runs that were trained in other studies, as one sentence."""
    parts = []
    for row in section.study_rows:
        copied = [run for run in row.completed_replicates if run.copied_from]
        if copied:
            sources = ", ".join(dict.fromkeys(run.copied_from for run in copied))
            parts.append(f"{row.name} of {row.study.name}, {len(copied)} from {sources}")
    if parts:
        yield f"Test runs taken over from other studies, where they were trained: {'; '.join(parts)}."


def openings_text(section: Section) -> str:
    """Returns how often the test images were opened: "never", "once", "17 times"."""
    count = section.test_openings
    return "never" if count == 0 else "once" if count == 1 else f"{count:,} times"


def _openings(section: Section) -> str:
    """Returns how often the test images were opened, by what, and how far the search had come by then."""
    where = "this study" if len(section.studies) == 1 else "these studies"
    if not section.test_openings:
        return f"The test images were not opened in {where}."
    sentence = f"The test images were opened {openings_text(section)} in {where}"
    by_what = ", ".join(f"{name} {count:,}" for name, count in section.openings.items())
    after = section.searched_after_opening
    trials = "no search trial" if not after else "1 search trial" if after == 1 else f"{after:,} search trials"
    runs = [run for row in section.study_rows for run in row.replicates if not run.copied_from]
    without = sum(run.error_percent is None for run in runs)
    no_figure = f"; {without:,} of these runs without a figure" if without else ""
    return f"{sentence} ({by_what}; a run counts from its start{no_figure}); {trials} began after the first time."


def _ensemble(section: Section, ensemble: Ensemble) -> str:
    bounds = formatting.interval_bounds(ensemble.interval)
    interval = f" (95 % interval over test images alone: {bounds})" if bounds else ""
    error = formatting.percent(ensemble.error_percent)
    name = f"E{ensemble.label[1:]} of study {ensemble.study.name}, {ensemble.models} models"
    head = f"{name}: test error {error} %{interval}"
    if ensemble.difference is None:
        return f"{head}."
    return f"{head}; to {ensemble.compared_with}, {_difference(section, ensemble.difference)}."


def _to_baseline(section: Section, row: Row) -> Iterator[str]:
    difference = row.baseline_difference
    if row.is_baseline:
        yield "It is the baseline itself."
    elif difference is None and row.trial is not None:
        yield "Its study has no verified baseline to compare it with."
    elif difference:
        yield f"Difference to the baseline: {_difference(section, difference)}."


def _to_best_recipe(section: Section, row: Row) -> Iterator[str]:
    """Yields what the search gained over the best recipe."""
    if row.best_recipe:
        name = row.best_recipe.recipe.removeprefix(RECIPE_PREFIX)
        yield f"Difference to the best recipe, {name}: {_difference(section, row.best_recipe.difference)}."
    elif row.is_recipe:
        yield "It is the best recipe itself."


def _difference(section: Section, difference: Difference) -> str:
    figure, points = formatting.percentage_points(difference.mean), section.equivalence_points
    if difference.interval is None:
        return f"{figure} percentage points, without an interval"
    verdict = formatting.verdict(difference, points)
    if difference.verdict(points) is Verdict.EQUIVALENT:
        verdict += f" (within {points:g} points)"
    if difference.outperforming is not None:
        verdict += f"; lower in {difference.outperforming:.0%}".replace("%", " % of the pairs of runs")
    return f"{figure} percentage points (95 % interval {formatting.interval_bounds(difference.interval)}): {verdict}"


def _short_trainings(chosen: Row) -> Iterator[str]:
    """Yields that the chosen row is a short training, where no full one was verified."""
    if chosen.is_short:
        epochs = formatting.epochs(chosen.schedule_epochs)
        yield (
            f"Caution: it was trained for {epochs}, not the {chosen.study.protocol.epochs} of a full trial; no full "
            "trial was verified."
        )


def _changed_baselines(section: Section) -> Iterator[str]:
    """Yields how the baselines of studies differ from the tutorial's."""
    changes = {study.name: baseline_changes(study.space, study.space_source) for study in section.studies}
    for name, changed in changes.items():
        if changed:
            of = f" of study {name}" if len(changes) > 1 else ""
            yield f"The baseline{of} is not the tutorial's: {formatting.some_of(changed)}."


def _limits(section: Section) -> Iterator[str]:
    """Yields how many parameters the studies search at most, and which baselines have more."""
    for study in section.studies:
        if study.max_parameters is None:
            continue
        of = f" of study {study.name}" if len(section.studies) > 1 else ""
        large = [row for row in section.study_rows if row.study.name == study.name and row.is_too_large]
        baseline = f"; {large[0].name}, with {large[0].parameters:,}, is there for comparison" if large else ""
        yield f"The search{of} is limited to {study.max_parameters:,} trainable parameters{baseline}."


def _to_tutorial(row: Row) -> Iterator[str]:
    if row.tutorial_difference is not None and row.error_percent is not None:
        tutorial = formatting.percent(row.error_percent - row.tutorial_difference)
        difference = formatting.percentage_points(row.tutorial_difference)
        yield f"Difference to the tutorial's {tutorial} %: {difference} percentage points."
