"""From recorded studies to a board: one row a search trial, one a reproduction.

Pure: reads ``StudyRecord`` values and nothing else, so a board can be made where nothing could be trained. Called by
the command line and the API; what it returns goes to a renderer.

    compute         groups studies by what may be ranked together
      _section      one group: its rows, ranked
        _searched     rows of the search trials, each with its verification runs
        _reproduced   the row of a reproduction
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from search.leaderboard.board import UNFINISHED, Board, Replicate, Row, Section, Step
from search.leaderboard.ensembles import ensembles
from search.leaderboard.ranking import STATES, rank
from search.leaderboard.reference import references, tutorial_error_percent
from search.leaderboard.runs import difference, estimate
from search.leaderboard.selection import selection
from search.protocol import ProtocolName
from search.records.failures import failures
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import Outcome, Phase, State, identity

REPRODUCED = "baseline (tutorial protocol)"
STEERED = "the test images steered the search"
WATCHED = "the test images were watched each epoch"

_PRIVATE = frozenset({"host", "pid"})
"""What a board, made to be published, does not repeat of a run's environment."""

_NO_FIGURES = Outcome(state=State.INTERRUPTED)
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
    every = [row for study in studies for row in (*_searched(study), *_reproduced(study))]
    rows = rank(row for row in every if row.copied_from not in names)  # the study they were copied from shows them
    joint = [ensemble for study in studies for ensemble in ensembles(study)]
    trials = [record for study in studies for record in _standing(study) if not record.copied_from]
    return Section(
        studies=tuple(study.header for study in studies),
        rows=rows,
        references=references(studies[0].header.protocol.dataset),
        states=Counter(record.outcome.state.value if record.outcome else UNFINISHED for record in trials),
        test_openings=sum(study.test_openings for study in studies),
        spent_seconds=sum(study.spent_seconds for study in studies),
        ensembles=tuple(sorted(joint, key=lambda ensemble: ensemble.error_percent)),
        selections=tuple(found for study in studies if (found := selection(study.header.name, rows))),
        failures=failures(studies),
    )


def _searched(study: StudyRecord) -> list[Row]:
    """Returns a row for each search trial, with its difference to the study's baseline where both are verified."""
    runs: dict[int | None, list[TrialRecord]] = defaultdict(list)
    for record in study.phase(Phase.VERIFICATION):
        runs[record.trial.of].append(record)
    steps: dict[tuple[int, str], list[TrialRecord]] = defaultdict(list)
    for record in study.phase(Phase.SEARCH):
        steps[_training(record)].append(record)
    rows = [
        replace(
            _row(study.header, record, runs[record.trial.number]),
            steps=tuple(map(_step, steps[_training(record)])),
        )
        for record in _standing(study)
    ]
    baseline = next((row for row in rows if row.is_baseline and row.test), None)
    return rows if baseline is None else [_measured(row, baseline) for row in rows]


def _standing(study: StudyRecord) -> list[TrialRecord]:
    """Returns the search trials, of the parts of one training the one that tells most of it.

    That is the last that came to its own end; where none did, the last.
    """
    telling: dict[tuple[int, str], TrialRecord] = {}
    for record in study.phase(Phase.SEARCH):
        before = telling.get(_training(record))
        if before is None or record.is_settled or not before.is_settled:
            telling[_training(record)] = record
    return sorted(telling.values(), key=lambda record: record.trial.number)


def _training(record: TrialRecord) -> tuple[int, str]:
    """Returns what the parts of one training share."""
    return (record.trial.seed, identity(record.trial.config))


def _step(record: TrialRecord) -> Step:
    trial, outcome = record.trial, record.outcome or _NO_FIGURES
    epochs = len(outcome.history)
    return Step(
        trial=trial.number,
        state=record.outcome.state if record.outcome else None,
        first_epoch=epochs - outcome.epochs_trained + 1,
        last_epoch=epochs,
        parent=trial.parent,
        notes=trial.notes,
        validation_error_percent=outcome.error_percent,
        seconds=outcome.seconds_trained,
        node=str(outcome.environment.get("node", "")),
    )


def _measured(row: Row, baseline: Row) -> Row:
    if row.is_baseline or not row.test:
        return row
    return replace(row, to_baseline=difference(row.runs, baseline.runs))


def _row(header: StudyHeader, head: TrialRecord, runs: Sequence[TrialRecord]) -> Row:
    """Returns the row that ``head`` gives its state and cost to, and ``runs`` their test errors."""
    trial, outcome = head.trial, head.outcome or _NO_FIGURES
    tutorial = tutorial_error_percent(header.protocol.dataset, header.space.name)
    shown = _most_telling([*runs, head]).outcome or _NO_FIGURES
    row = Row(
        label=trial.origin,
        study=header,
        trial=trial.number,
        state=head.outcome.state if head.outcome else None,
        cause=outcome.cause,
        config=trial.config,
        validation_error_percent=outcome.error_percent,
        replicates=_replicates(runs),
        parameters=outcome.parameters,
        epochs=outcome.history[-1].epoch if outcome.history else 0,
        seconds=sum(outcome.seconds.values()),
        environment={key: value for key, value in shown.environment.items() if key not in _PRIVATE},
        caveat=STEERED if header.protocol.name is ProtocolName.TUTORIAL else "",
        copied_from=_copied_from(runs or [head]),
    )
    if not row.complete:
        return row
    test = estimate(row.runs)
    return replace(row, test=test, to_tutorial=None if tutorial is None else test.mean - tutorial)


def _copied_from(runs: Sequence[TrialRecord]) -> str:
    """Returns the study that all these runs were taken over from; empty where one is the study's own."""
    return runs[0].copied_from if all(run.copied_from for run in runs) else ""


def _reproduced(study: StudyRecord) -> list[Row]:
    """Returns the one row of a reproduction's repeats; none where nothing was reproduced."""
    runs = study.phase(Phase.REPRODUCTION)
    if not runs:
        return []
    row = _row(study.header, _most_telling(runs), runs)
    seconds = sum(replicate.seconds for replicate in row.replicates)
    return [replace(row, label=REPRODUCED, trial=None, validation_error_percent=None, seconds=seconds, caveat=WATCHED)]


def _most_telling(records: Sequence[TrialRecord]) -> TrialRecord:
    """Returns the record that ended in the most telling way, the first of several."""
    return min(records, key=lambda record: STATES.index(record.outcome and record.outcome.state))


def _replicates(runs: Iterable[TrialRecord]) -> tuple[Replicate, ...]:
    """Returns the repeats by number; one that was run again stands once, by its complete run where it has one."""
    complete_last = sorted(map(_replicate, runs), key=lambda run: run.error_percent is not None)
    chosen = {run.number: run for run in complete_last}
    return tuple(chosen[number] for number in sorted(chosen))


def _replicate(record: TrialRecord) -> Replicate:
    trial, outcome = record.trial, record.outcome or _NO_FIGURES
    is_complete = outcome.state is State.COMPLETE
    return Replicate(
        number=trial.replicate or 0,
        seed=trial.seed,
        state=record.outcome.state if record.outcome else None,
        cause=outcome.cause,
        error_percent=outcome.error_percent if is_complete else None,
        seconds=sum(outcome.seconds.values()),
        scored=_scored(outcome) if is_complete else None,
        wrong=outcome.wrong,
        predicted=outcome.predicted,
    )


def _scored(outcome: Outcome) -> int | None:
    """Returns the number of images scored; a ledger older than the field tells it where any was wrong."""
    if outcome.scored is None and outcome.wrong and outcome.error_percent:
        return round(100.0 * len(outcome.wrong) / outcome.error_percent)
    return outcome.scored
