"""Computes a leaderboard from recorded studies: a row for each search trial, and for each reproduction.

Pure: reads ``StudyRecord`` values alone, so a board can be made on a machine that cannot train. Called by the command
line and the API.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf, isfinite
from typing import Any

from search.engines.base import objective_value
from search.leaderboard.balanced import with_balanced_intervals
from search.leaderboard.board import Board, Row, Section, state_name
from search.leaderboard.ensembles import study_ensembles
from search.leaderboard.image_groups import ImageGroups, image_groups
from search.leaderboard.pooling import by_trial, complete_runs, pool_rows, row_of
from search.leaderboard.ranking import STATE_ORDER, rank_rows, unverified_order
from search.leaderboard.reference import references
from search.leaderboard.row_parts import Mutation, RecipeComparison, Replicate, TrialSegment
from search.leaderboard.statistics import EQUIVALENCE_POINTS
from search.leaderboard.variance import SeedSpread, error_difference, estimate_error, spread_of_seeds
from search.protocol import ProtocolName
from search.records.failures import group_failures
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, MUTATION_KEY, NODE_KEY, PRIVATE_KEYS, Outcome, Phase, State

Training = tuple[TrialRecord, tuple[TrialRecord, ...]]
"""The search trials of one training: the last finished one, or the last where none finished; and all, in order."""
REPRODUCTION_LABEL = "baseline (tutorial protocol)"
TUTORIAL_CAVEAT = "the test images steered the search"
REPRODUCTION_CAVEAT = "the test images were watched each epoch"


def compute(
    studies: Sequence[StudyRecord],
    equivalence_points: float = EQUIVALENCE_POINTS,
    *,
    max_unverified: int | None = None,
) -> Board:
    """Returns the board of the studies; a study without a finished trial is left out, and a note says so.

    Args:
        studies: The studies.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.
        max_unverified: Rows of each section without a test error that are made, the best ones, beside the baselines;
            the others are counted as hidden. None for all.
    """
    notes = [] if studies else ["There is no study to show."]
    groups: dict[tuple[str, str, str], list[StudyRecord]] = defaultdict(list)
    for study in sorted(studies, key=lambda study: (study.header.name, study.header.created)):
        if any(record.outcome for record in study.trials):
            groups[study.header.protocol.ranking_key].append(study)
        else:
            begun = f"begun {len(study.trials)} and finished none" if study.trials else "begun none"
            notes.append(f"Study {study.header.name} has no finished trial: it has {begun}.")
    sections = tuple(_section(groups[key], equivalence_points, max_unverified) for key in sorted(groups))
    return Board(sections=sections, notes=tuple(notes))


def _section(studies: Sequence[StudyRecord], equivalence_points: float, max_unverified: int | None) -> Section:
    names = {study.header.name for study in studies}
    groups = image_groups(studies)
    trainings = {study.header.name: _trainings(study) for study in studies}
    shown, hidden_rows = _without_worst(studies, trainings, max_unverified)
    by_study = {study.header.name: _study_rows(study, shown[study.header.name], groups) for study in studies}
    originals = (row for rows in by_study.values() for row in rows if row.copied_from not in names)
    kept, pooled_rows = pool_rows(originals)
    kept = _with_spread_of_seeds(kept)
    pooled = by_trial(kept)
    rows = rank_rows(_with_comparisons(row, by_study, pooled, equivalence_points) for row in kept)
    rows = with_balanced_intervals(rows, studies)
    chosen = {name: row for row in rows for name in row.chosen_in}
    ensembles = [
        ensemble for study in studies for ensemble in study_ensembles(study, chosen.get(study.header.name), groups)
    ]
    trials = [head for each in trainings.values() for head, _ in each if not head.copied_from]
    ranked, openings = by_trial(rows), sum((Counter(study.test_openings) for study in studies), Counter[str]())
    return Section(
        studies=tuple(study.header for study in studies),
        rows=rows,
        references=references(studies[0].header.protocol.data_sha256),
        states=Counter(state_name(record.state) for record in trials),
        test_openings=openings.total(),
        openings=openings,
        searched_after_opening=sum(study.searched_after_opening for study in studies),
        spent_seconds=sum(study.spent_seconds for study in studies),
        ensembles=tuple(sorted(ensembles, key=lambda ensemble: ensemble.error_percent)),
        pooled_rows=tuple(replace(row, rank=row_of(row, ranked).rank) for row in pooled_rows),
        image_groups=len(groups.sizes) if groups else None,
        equivalence_points=equivalence_points,
        failures=group_failures(studies),
        hidden_rows=hidden_rows,
    )


def _without_worst(
    studies: Sequence[StudyRecord], trainings: Mapping[str, Sequence[Training]], max_unverified: int | None
) -> tuple[Mapping[str, Sequence[Training]], int]:
    """Returns the trainings of which rows are made, by study, and the number of rows that are left out.

    Only trainings without a test run are left out: no other row depends on theirs.
    """
    if max_unverified is None:
        return trainings, 0
    tested = {
        (study.header.name, run.trial.source_trial)
        for study in studies
        for run in study.trials_in_phase(Phase.VERIFICATION)
    }
    untested = sorted(
        unverified_order(head.state, head.error_percent, name, head.trial.number)
        for name, heads in trainings.items()
        for head, _ in heads
        if head.trial.origin != BASELINE and head.copied_from not in trainings
        if (name, head.trial.number) not in tested
    )
    left_out = {(name, number) for _, _, name, number in untested[max_unverified:]}
    shown = {
        name: [training for training in each if (name, training[0].trial.number) not in left_out]
        for name, each in trainings.items()
    }
    return shown, len(left_out)


def _study_rows(study: StudyRecord, trainings: Sequence[Training], groups: ImageGroups | None) -> list[Row]:
    """Returns a study's rows, of which the chosen one is marked."""
    rows = [*_search_rows(study, trainings, groups), *_reproduction_rows(study, groups)]
    verified = [row for row in rows if row.test_error and not row.is_too_large]
    full = [row for row in verified if not row.is_short]
    chosen = min(full or verified, key=_validation_order, default=None)
    return [replace(row, chosen_in=(study.header.name,)) if row is chosen else row for row in rows]


def _validation_order(row: Row) -> tuple[float, float, int]:
    """Returns what the lowest of is chosen: what the study's engine minimizes; of equal figures the longer training.

    A paused training that is better than a complete one already is chosen: its other epochs would lower its error.
    """
    error = inf if row.validation_error_percent is None else row.validation_error_percent
    return (error if row.objective is None else row.objective, error, -row.epochs)


def _search_rows(study: StudyRecord, trainings: Sequence[Training], groups: ImageGroups | None) -> list[Row]:
    """Returns a row for each training of the search."""
    runs: dict[int | None, list[TrialRecord]] = defaultdict(list)
    for record in study.trials_in_phase(Phase.VERIFICATION):
        runs[record.trial.source_trial].append(record)
    caveat = TUTORIAL_CAVEAT if study.header.protocol.name is ProtocolName.TUTORIAL else ""
    searched = {record.trial.number: record for record in study.trials_in_phase(Phase.SEARCH)}
    return [
        _row(
            study.header,
            record,
            runs[record.trial.number],
            groups,
            label=record.trial.origin,
            trial=record.trial.number,
            validation_error_percent=record.error_percent,
            objective=_objective(study.header, record),
            segments=tuple(map(_segment, parts)),
            seconds=_seconds(record),
            caveat=caveat,
            mutation=_mutation(record, searched),
        )
        for record, parts in trainings
    ]


def _balanced_error(record: TrialRecord) -> float | None:
    return record.outcome.balanced_error_percent if record.outcome else None


def _objective(study: StudyHeader, record: TrialRecord) -> float | None:
    """Returns what the study's engine minimizes, of a search trial."""
    return None if record.outcome is None else _finite(objective_value(record.outcome, study.objective))


def _finite(value: float | None) -> float | None:
    """Returns a figure, or None if it is not finite."""
    return value if value is not None and isfinite(value) else None


def _mutation(record: TrialRecord, searched: Mapping[int, TrialRecord]) -> Mutation | None:
    """Returns what the engine made a trial from, if it recorded that."""
    parent = searched.get(record.trial.engine_metadata.get(MUTATION_KEY, -1))
    if parent is None:
        return None
    before, after = parent.trial.config, record.trial.config
    names = [*after, *(name for name in before if name not in after)]
    changes = {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
    return Mutation(trial=parent.trial.number, is_short=parent.trial.is_short, changes=changes)


def _reproduction_rows(study: StudyRecord, groups: ImageGroups | None) -> list[Row]:
    """Returns the one row of a reproduction's repeats; empty where the study has none."""
    runs = study.trials_in_phase(Phase.REPRODUCTION)
    if not runs:
        return []
    seconds = sum(run.seconds for run in _replicates(study.header.name, runs))
    head, caveat = _best_ended(runs), REPRODUCTION_CAVEAT
    return [
        _row(study.header, head, runs, groups, label=REPRODUCTION_LABEL, trial=None, seconds=seconds, caveat=caveat)
    ]


def _trainings(study: StudyRecord) -> list[Training]:
    """Returns the trainings of a study's search, by the number of their representative trial."""
    parts: dict[str, list[TrialRecord]] = defaultdict(list)
    for record in study.trials_in_phase(Phase.SEARCH):
        parts[record.trial.training_key].append(record)
    trainings = (
        (([record for record in records if record.is_finished] or records)[-1], tuple(records))
        for records in parts.values()
    )
    return sorted(trainings, key=lambda training: training[0].trial.number)


def _segment(record: TrialRecord) -> TrialSegment:
    trained = [report for report in record.history if not report.restored]
    return TrialSegment(
        trial=record.trial.number,
        state=record.state,
        first_epoch=len(record.history) - len(trained) + 1,
        last_epoch=len(record.history),
        parent=record.trial.parent,
        engine_metadata={name: _json_value(value) for name, value in record.trial.engine_metadata.items()},
        validation_error_percent=record.error_percent,
        validation_balanced_error_percent=_balanced_error(record),
        seconds=sum(report.seconds for report in trained),
        node=str(record.environment.get(NODE_KEY, "")),
    )


def _with_spread_of_seeds(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows, of which those with one run have the spread of the seeds that the others show."""
    spread = spread_of_seeds(row.run_errors for row in rows)
    return [_with_spread(row, spread) if len(row.run_errors.errors_percent) == 1 else row for row in rows]


def _with_spread(row: Row, spread: SeedSpread) -> Row:
    errors = replace(row.run_errors, single_run_spread=spread)
    return replace(row, run_errors=errors, test_error=estimate_error(errors))


def _json_value(value: Any) -> Any:
    """Returns a note of an engine, as text where it is a number that JSON has not."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _with_comparisons(
    row: Row,
    by_study: Mapping[str, Sequence[Row]],
    pooled: Mapping[tuple[str, int | None], Row],
    equivalence_points: float,
) -> Row:
    """Returns a verified row with its differences to the baseline and the best recipe of equal epochs.

    Both are those of its study, or of the first of its studies that has one; their runs in other studies count too.

    Args:
        row: The row.
        by_study: All rows by study, before they are pooled.
        pooled: Pooled rows by study and trial.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.
    """
    if not row.test_error:
        return row
    comparable = [
        other
        for name in row.study_names
        for other in by_study[name]
        if other.test_error and other.schedule_epochs == row.schedule_epochs
    ]
    baseline = next((row_of(other, pooled) for other in comparable if other.is_baseline), None)
    recipes = [other for other in comparable if other.is_recipe and other.study.name == comparable[0].study.name]
    recipe = row_of(min(recipes, key=_objective_of), pooled) if recipes else None
    if baseline is not None and not row.is_baseline:
        difference = error_difference(row.run_errors, baseline.run_errors)
        row = replace(row, baseline_difference=difference, baseline_verdict=difference.verdict(equivalence_points))
    if recipe is not None and (recipe.study.name, recipe.trial) != (row.study.name, row.trial):
        difference = error_difference(row.run_errors, recipe.run_errors)
        row = replace(row, best_recipe=RecipeComparison(recipe=recipe.name, difference=difference))
    return row


def _objective_of(row: Row) -> float:
    return inf if row.objective is None else row.objective


def _row(
    study: StudyHeader,
    head: TrialRecord,
    runs: Sequence[TrialRecord],
    groups: ImageGroups | None,
    *,
    label: str,
    trial: int | None,
    seconds: float,
    caveat: str,
    validation_error_percent: float | None = None,
    objective: float | None = None,
    segments: tuple[TrialSegment, ...] = (),
    mutation: Mutation | None = None,
) -> Row:
    """Returns the row with the state and cost of ``head`` and the test errors of ``runs``."""
    replicates = _replicates(study.name, runs)
    errors = complete_runs(replicates, groups)
    environment = _best_ended([*runs, head]).environment
    return Row(
        label=label,
        study=study,
        trial=trial,
        state=head.state,
        cause=head.outcome.cause if head.outcome else None,
        config=head.trial.config,
        schedule_epochs=head.trial.epochs,
        is_short=head.trial.is_short,
        mutation=mutation,
        validation_error_percent=validation_error_percent,
        validation_balanced_error_percent=None if trial is None else _balanced_error(head),
        validation_log_loss=_finite(head.outcome.value_of("loss")) if head.outcome and trial is not None else None,
        objective=objective,
        segments=segments,
        replicates=replicates,
        run_errors=errors,
        test_error=estimate_error(errors) if errors.errors_percent else None,
        parameters=head.outcome.parameter_count if head.outcome else None,
        epochs=head.history[-1].epoch if head.history else 0,
        seconds=seconds,
        environment={key: value for key, value in environment.items() if key not in PRIVATE_KEYS},
        caveat=caveat,
        copied_from=_copied_from(runs or [head]),
    )


def _copied_from(runs: Sequence[TrialRecord]) -> str:
    """Returns the study that all these runs were copied from; empty where one is the study's own."""
    return runs[0].copied_from if all(run.copied_from for run in runs) else ""


def _best_ended(records: Sequence[TrialRecord]) -> TrialRecord:
    """Returns the first record with the best state, in ``STATE_ORDER``."""
    return min(records, key=lambda record: STATE_ORDER.index(record.state))


def _replicates(study: str, runs: Iterable[TrialRecord]) -> tuple[Replicate, ...]:
    """Returns one replicate a number, in order: the last complete run, or the last where none is complete."""
    complete_last = sorted((_replicate(study, run) for run in runs), key=lambda run: run.error_percent is not None)
    by_number = {run.number: run for run in complete_last}
    return tuple(by_number[number] for number in sorted(by_number))


def _replicate(study: str, record: TrialRecord) -> Replicate:
    number, seed, outcome = record.trial.replicate or 0, record.trial.seed, record.outcome
    if outcome is None:
        return Replicate(number=number, study=study, seed=seed, state=None)
    is_complete = outcome.state is State.COMPLETE
    return Replicate(
        number=number,
        study=study,
        seed=seed,
        state=outcome.state,
        cause=outcome.cause,
        error_percent=outcome.error_percent if is_complete else None,
        balanced_error_percent=outcome.balanced_error_percent if is_complete else None,
        log_loss=_finite(outcome.value_of("loss")) if is_complete else None,
        seconds=_seconds(record),
        scored=_image_count(outcome) if is_complete else None,
        wrong=outcome.misclassified,
        predicted=outcome.predicted_classes,
        copied_from=record.copied_from,
    )


def _seconds(record: TrialRecord) -> float:
    return sum(record.outcome.seconds.values()) if record.outcome else 0


def _image_count(outcome: Outcome) -> int | None:
    """Returns the number of scored images; older records lack it, and it follows from the error there."""
    if outcome.scored_images is None and outcome.misclassified and outcome.error_percent:
        return round(100.0 * len(outcome.misclassified) / outcome.error_percent)
    return outcome.scored_images
