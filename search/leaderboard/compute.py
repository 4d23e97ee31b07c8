"""From recorded studies to a board: one row a search trial, one a reproduction.

Pure: reads ``StudyRecord`` values and nothing else, so a board can be made where nothing could be trained. Called by
the command line and the API; what it returns goes to a renderer.

    compute         groups studies by what may be ranked together
      _section      one group: its rows, ranked
        _searched     rows of the search trials, each with its verification runs
        _reproduced   the row of a reproduction

The selection effect: how the configuration that won the choice by validation error fared on the test images.

The lowest of many noisy figures is too low; the same configuration measured again regresses to its mean. The board
shows both, and beside them the baseline, which nobody chose. Pure; called by ``rows``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from search.leaderboard.board import UNFINISHED, Board, Replicate, Row, Section, SelectionBias, TrialSegment
from search.leaderboard.ensembles import study_ensembles
from search.leaderboard.ranking import STATE_ORDER, rank_rows
from search.leaderboard.reference import references, tutorial_error_percent
from search.leaderboard.variance import error_difference, estimate_error
from search.protocol import ProtocolName
from search.records.failures import group_failures
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import Outcome, Phase, State, config_key


def selection_bias(study: str, rows: Iterable[Row]) -> SelectionBias | None:
    """Returns what the choice by validation error did in a study; None where nothing chosen was verified."""
    own = [row for row in rows if row.study.name == study and row.validation_error_percent is not None]
    verified = [row for row in own if row.test_error and not row.is_baseline and not row.caveat]
    if not verified:
        return None
    chosen = min(verified, key=lambda row: row.validation_error_percent or 0.0)
    assert chosen.test_error is not None and chosen.validation_error_percent is not None
    return SelectionBias(
        study=study,
        tried=sum(row.state in (State.COMPLETE, State.PAUSED) for row in own),
        chosen=chosen.name,
        validation_error_percent=chosen.validation_error_percent,
        test_error_percent=chosen.test_error.mean,
        baseline_shift=next((row.validation_test_gap for row in own if row.is_baseline), None),
    )


REPRODUCTION_LABEL = "baseline (tutorial protocol)"
TUTORIAL_CAVEAT = "the test images steered the search"
REPRODUCTION_CAVEAT = "the test images were watched each epoch"

_PRIVATE_ENVIRONMENT_KEYS = frozenset({"host", "pid"})
"""What a board, made to be published, does not repeat of a run's environment."""

_NO_OUTCOME = Outcome(state=State.INTERRUPTED)
"""Stands in for the outcome of a run that has none yet."""


def compute(studies: Sequence[StudyRecord]) -> Board:
    """Returns the board of the studies; one without a finished trial is left out, and a note says so."""
    notes = [] if studies else ["There is no study to show."]
    groups: dict[tuple[str, str, str], list[StudyRecord]] = defaultdict(list)
    for study in sorted(studies, key=lambda study: (study.header.name, study.header.created)):
        if any(record.outcome for record in study.trials):
            groups[study.header.protocol.ranking_key].append(study)
        else:
            begun = f"begun {len(study.trials)} and finished none" if study.trials else "begun none"
            notes.append(f"Study {study.header.name} has no finished trial: it has {begun}.")
    return Board(sections=tuple(_section(groups[key]) for key in sorted(groups)), notes=tuple(notes))


def _section(studies: Sequence[StudyRecord]) -> Section:
    names = {study.header.name for study in studies}
    all_rows = [row for study in studies for row in (*_search_rows(study), *_reproduction_rows(study))]
    rows = rank_rows(
        row for row in all_rows if row.copied_from not in names
    )  # the study they were copied from shows them
    all_ensembles = [ensemble for study in studies for ensemble in study_ensembles(study)]
    trials = [record for study in studies for record in _representative_trials(study) if not record.copied_from]
    return Section(
        studies=tuple(study.header for study in studies),
        rows=rows,
        references=references(studies[0].header.protocol.dataset),
        states=Counter(record.outcome.state.value if record.outcome else UNFINISHED for record in trials),
        test_openings=sum(study.test_evaluations for study in studies),
        spent_seconds=sum(study.spent_seconds for study in studies),
        ensembles=tuple(sorted(all_ensembles, key=lambda ensemble: ensemble.error_percent)),
        selections=tuple(found for study in studies if (found := selection_bias(study.header.name, rows))),
        failures=group_failures(studies),
    )


def _search_rows(study: StudyRecord) -> list[Row]:
    """Returns a row for each search trial, with its difference to the study's baseline where both are verified."""
    runs: dict[int | None, list[TrialRecord]] = defaultdict(list)
    for record in study.trials_in_phase(Phase.VERIFICATION):
        runs[record.trial.source_trial].append(record)
    steps: dict[tuple[int, str], list[TrialRecord]] = defaultdict(list)
    for record in study.trials_in_phase(Phase.SEARCH):
        steps[_training_key(record)].append(record)
    rows = [
        replace(
            _row(study.header, record, runs[record.trial.number]),
            segments=tuple(map(_segment, steps[_training_key(record)])),
        )
        for record in _representative_trials(study)
    ]
    baseline = next((row for row in rows if row.is_baseline and row.test_error), None)
    return rows if baseline is None else [_with_baseline_difference(row, baseline) for row in rows]


def _representative_trials(study: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials, of the parts of one training the one that tells most of it.

    That is the last that came to its own end; where none did, the last.
    """
    representatives: dict[tuple[int, str], TrialRecord] = {}
    for record in study.trials_in_phase(Phase.SEARCH):
        current = representatives.get(_training_key(record))
        if current is None or record.is_finished or not current.is_finished:
            representatives[_training_key(record)] = record
    return sorted(representatives.values(), key=lambda record: record.trial.number)


def _training_key(record: TrialRecord) -> tuple[int, str]:
    """Returns what the parts of one training share."""
    return (record.trial.seed, config_key(record.trial.config))


def _segment(record: TrialRecord) -> TrialSegment:
    trial, outcome = record.trial, record.outcome or _NO_OUTCOME
    epochs = len(outcome.history)
    return TrialSegment(
        trial=trial.number,
        state=record.outcome.state if record.outcome else None,
        first_epoch=epochs - outcome.epochs_trained + 1,
        last_epoch=epochs,
        parent=trial.parent,
        engine_metadata=trial.engine_metadata,
        validation_error_percent=outcome.error_percent,
        seconds=outcome.seconds_trained,
        node=str(outcome.environment.get("node", "")),
    )


def _with_baseline_difference(row: Row, baseline: Row) -> Row:
    if row.is_baseline or not row.test_error:
        return row
    return replace(row, baseline_difference=error_difference(row.run_errors, baseline.run_errors))


def _row(header: StudyHeader, head: TrialRecord, runs: Sequence[TrialRecord]) -> Row:
    """Returns the row that ``head`` gives its state and cost to, and ``runs`` their test errors."""
    trial, outcome = head.trial, head.outcome or _NO_OUTCOME
    tutorial = tutorial_error_percent(header.protocol.dataset, header.space.name)
    shown = _best_ended([*runs, head]).outcome or _NO_OUTCOME
    row = Row(
        label=trial.origin,
        study=header,
        trial=trial.number,
        state=head.outcome.state if head.outcome else None,
        cause=outcome.cause,
        config=trial.config,
        validation_error_percent=outcome.error_percent,
        replicates=_replicates(runs),
        parameters=outcome.parameter_count,
        epochs=outcome.history[-1].epoch if outcome.history else 0,
        seconds=sum(outcome.seconds.values()),
        environment={key: value for key, value in shown.environment.items() if key not in _PRIVATE_ENVIRONMENT_KEYS},
        caveat=TUTORIAL_CAVEAT if header.protocol.name is ProtocolName.TUTORIAL else "",
        copied_from=_copied_from(runs or [head]),
    )
    if not row.completed_replicates:
        return row
    test = estimate_error(row.run_errors)
    return replace(row, test_error=test, tutorial_difference=None if tutorial is None else test.mean - tutorial)


def _copied_from(runs: Sequence[TrialRecord]) -> str:
    """Returns the study that all these runs were taken over from; empty where one is the study's own."""
    return runs[0].copied_from if all(run.copied_from for run in runs) else ""


def _reproduction_rows(study: StudyRecord) -> list[Row]:
    """Returns the one row of a reproduction's repeats; none where nothing was reproduced."""
    runs = study.trials_in_phase(Phase.REPRODUCTION)
    if not runs:
        return []
    row = _row(study.header, _best_ended(runs), runs)
    seconds = sum(replicate.seconds for replicate in row.replicates)
    return [
        replace(
            row,
            label=REPRODUCTION_LABEL,
            trial=None,
            validation_error_percent=None,
            seconds=seconds,
            caveat=REPRODUCTION_CAVEAT,
        )
    ]


def _best_ended(records: Sequence[TrialRecord]) -> TrialRecord:
    """Returns the record that ended in the most telling way, the first of several."""
    return min(records, key=lambda record: STATE_ORDER.index(record.outcome and record.outcome.state))


def _replicates(runs: Iterable[TrialRecord]) -> tuple[Replicate, ...]:
    """Returns the repeats by number; one that was run again stands once, by its complete run where it has one."""
    complete_last = sorted(map(_replicate, runs), key=lambda run: run.error_percent is not None)
    chosen = {run.number: run for run in complete_last}
    return tuple(chosen[number] for number in sorted(chosen))


def _replicate(record: TrialRecord) -> Replicate:
    trial, outcome = record.trial, record.outcome or _NO_OUTCOME
    is_complete = outcome.state is State.COMPLETE
    return Replicate(
        number=trial.replicate or 0,
        seed=trial.seed,
        state=record.outcome.state if record.outcome else None,
        cause=outcome.cause,
        error_percent=outcome.error_percent if is_complete else None,
        seconds=sum(outcome.seconds.values()),
        scored=_image_count(outcome) if is_complete else None,
        wrong=outcome.misclassified,
        predicted=outcome.predicted_classes,
    )


def _image_count(outcome: Outcome) -> int | None:
    """Returns the number of images scored; a ledger older than the field tells it where any was wrong."""
    if outcome.scored_images is None and outcome.misclassified and outcome.error_percent:
        return round(100.0 * len(outcome.misclassified) / outcome.error_percent)
    return outcome.scored_images
