"""Merges studies from several machines and folders for one board, so that each run counts once.

Of copies of a study the longest is kept. Of different studies of one name one keeps it: that in a folder of this name,
else the first. The others are called as their folders, or "NAME-2", "NAME-3" where these names are taken too. Runs
that two studies hold are marked in the later study as copied. Notes name what was left out or renamed.
Pure; called by the commands that rank several studies.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

from search.records.record import EnsembleRecord, StudyHeader, StudyRecord, TrialRecord
from search.records.redact import redacted
from search.trial import COPIED_FROM_KEY


@dataclass(frozen=True, slots=True)
class LocatedStudy:
    """A study and its source.

    Args:
        record: The study as read.
        source: A name or a path, for messages.
        file: The ``study.json.gz`` that it was read from; None if it was read from a ledger.
    """

    record: StudyRecord
    source: str
    file: Path | None = None

    @property
    def folder(self) -> str:
        """Name of the file's folder; empty without a file."""
        return self.file.resolve().parent.name if self.file else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedStudies:
    """Studies for one board.

    Args:
        records: The studies, with unique names and copied runs marked, sorted by the names that they had.
        originals: The same studies as found, in the same order.
        notes: Studies and runs that were left out or renamed.
    """

    records: tuple[StudyRecord, ...]
    originals: tuple[LocatedStudy, ...]
    notes: tuple[str, ...] = ()


def merge_studies(studies: Sequence[LocatedStudy]) -> MergedStudies:
    """Returns the studies prepared for one board, in which each run counts once."""
    longest, left_out = _drop_earlier_copies(studies)
    originals = sorted(longest, key=_sort_key)
    named, renamed = _with_unique_names(originals)
    records, copied = _mark_duplicate_runs(named)
    notes = (*left_out, *renamed, *copied, *_builder_notes(records))
    return MergedStudies(records=tuple(records), originals=tuple(originals), notes=notes)


def _sort_key(study: LocatedStudy) -> tuple[str, str, int, str]:
    header = study.record.header
    return (header.name, header.created, -_ended_count(study.record), study.source)


def is_copy(shorter: StudyRecord, longer: StudyRecord) -> bool:
    """Returns whether one study is a copy of the other that holds the same trials or fewer."""
    if shorter.header.name != longer.header.name or _study_key(shorter.header) != _study_key(longer.header):
        return False
    records = {record.trial.key: record for record in redacted(longer).trials}
    return shorter.ensembles == longer.ensembles[: len(shorter.ensembles)] and all(
        _is_same_trial(record, records.get(record.trial.key)) for record in redacted(shorter).trials
    )


def _is_same_trial(earlier: TrialRecord, later: TrialRecord | None) -> bool:
    if later is None or (earlier.trial, earlier.started) != (later.trial, later.started):
        return False
    return earlier.outcome is None or _outcome_key(earlier) == _outcome_key(later)


def _study_key(header: StudyHeader) -> str:
    """Returns a key that copies of a study share, even if renamed or redacted."""
    ignored = ("name", "command", "space_source")
    document = {key: value for key, value in header.to_json().items() if key not in ignored}
    return json.dumps(document, sort_keys=True)


def _drop_earlier_copies(studies: Iterable[LocatedStudy]) -> tuple[list[LocatedStudy], list[str]]:
    kept: list[LocatedStudy] = []
    notes: list[str] = []
    for study in studies:
        for index, other in enumerate(kept):
            if is_copy(study.record, other.record):
                notes.append(_copy_note(study, other))
                break
            if is_copy(other.record, study.record):
                notes.append(_copy_note(other, study))
                kept[index] = study
                break
        else:
            kept.append(study)
    return kept, notes


def _copy_note(shorter: LocatedStudy, longer: LocatedStudy) -> str:
    name = longer.record.header.name
    shorter_count, longer_count = _ended_count(shorter.record), _ended_count(longer.record)
    if shorter_count == longer_count:
        return f"Study {name} was given twice, as {longer.source} and {shorter.source}; it counts once."
    return (
        f"Study {name}: {shorter.source} is an earlier copy, with {shorter_count} trials ended, of "
        f"{longer.source}, with {longer_count}."
    )


def _ended_count(record: StudyRecord) -> int:
    return sum(trial_record.outcome is not None for trial_record in record.trials) + len(record.ensembles)


def _with_unique_names(studies: Sequence[LocatedStudy]) -> tuple[list[StudyRecord], list[str]]:
    """Returns the records with unique names, in the same order."""
    backwards = [(study.record.header.name, study) for study in reversed(studies)]  # the first of a name comes last
    owners = dict(backwards) | {name: study for name, study in backwards if study.folder == name}
    taken = set(owners)
    records: list[StudyRecord] = []
    notes: list[str] = []
    for study in studies:
        header, number = study.record.header, 1
        name = header.name if owners[header.name] is study else study.folder
        while owners[header.name] is not study and (not name or name in taken):
            number += 1
            name = f"{header.name}-{number}"
        taken.add(name)
        records.append(replace(study.record, header=replace(header, name=name)))
        if name != header.name:
            notes.append(f"{name} is another study named {header.name}: {study.source}, begun {header.created}.")
    return records, notes


def _mark_duplicate_runs(records: Sequence[StudyRecord]) -> tuple[list[StudyRecord], list[str]]:
    """Returns the records with copied runs marked, and notes about them.

    A run belongs to the study that has it without a mark; of several, to the one that started first.
    """
    ordered = sorted(records, key=lambda record: (record.header.created, record.header.name))
    keys = {record.header.name: _run_keys(record) for record in records}
    owners: dict[Hashable, str] = {}
    for are_copied in (False, True):
        for record in ordered:
            for run, key in zip(record.runs, keys[record.header.name], strict=True):
                if bool(run.copied_from) is are_copied:
                    owners.setdefault(key, record.header.name)
    names = {record.header.name for record in records}
    marked = [_mark_copies(record, keys[record.header.name], owners, names) for record in records]
    return marked, [note for record in marked for note in _copied_run_notes(record, names)]


def _run_keys(record: StudyRecord) -> list[Hashable]:
    """Returns the key of each of a study's runs."""
    study_key = _study_key(record.header)  # once: a large space takes a millisecond
    return [_run_key(study_key, run) for run in record.runs]


def _run_key(study_key: str, run: TrialRecord | EnsembleRecord) -> Hashable:
    """Returns a key that only the copies of a run share: what was trained, and how long each epoch took.

    The key of a run without trained epochs is its place in its study.
    """
    if isinstance(run, EnsembleRecord):
        return (study_key, repr(replace(run, copied_from="")))
    trial, outcome = run.trial, run.outcome
    if outcome is None or not outcome.epochs_trained:
        ended = outcome and (outcome.state, outcome.cause, outcome.error_percent, outcome.misclassified)
        return (study_key, trial.key, run.started, ended)
    losses = tuple(None if isnan(loss := report.training_loss) else loss for report in outcome.history)
    seconds = tuple(report.seconds for report in outcome.history)
    return (trial.phase, trial.training_key, losses, seconds, outcome.error_percent)


def _outcome_key(record: TrialRecord) -> str:
    """Returns a key that equal outcomes share; outcomes themselves may hold NaN, which does not equal itself."""
    return repr(record.outcome)


def _mark_copies(
    record: StudyRecord, keys: Sequence[Hashable], owners: Mapping[Hashable, str], names: Set[str]
) -> StudyRecord:
    """Returns the record with its copied runs marked, and without the time that the copied runs took.

    Args:
        record: The study.
        keys: Of its runs.
        owners: The study that each run counts in, by its key.
        names: Of all the studies.
    """

    def copied_from(run: TrialRecord | EnsembleRecord, key: Hashable) -> str:
        owner = owners.get(key, record.header.name)
        if owner != record.header.name:
            return owner
        return f"{run.copied_from} (another one)" if run.copied_from in names else run.copied_from

    marks = [copied_from(run, key) for run, key in zip(record.runs, keys, strict=True)]
    count = len(record.trials)
    trials = list(map(_with_copied_from, record.trials, marks[:count]))
    copied_seconds = [
        trial_record.outcome.elapsed_seconds or 0.0
        for trial_record in trials
        if trial_record.outcome and trial_record.copied_from in names
    ]
    return replace(
        record,
        trials=tuple(trials),
        ensembles=tuple(
            replace(ensemble, copied_from=mark) for ensemble, mark in zip(record.ensembles, marks[count:], strict=True)
        ),
        spent_seconds=record.spent_seconds - max(copied_seconds, default=0.0),
    )


def _with_copied_from(record: TrialRecord, copied_from: str) -> TrialRecord:
    if record.outcome is None or record.copied_from == copied_from:
        return record
    environment = {**record.outcome.environment, COPIED_FROM_KEY: copied_from}
    return replace(record, outcome=replace(record.outcome, environment=environment))


def _builder_notes(records: Sequence[StudyRecord]) -> list[str]:
    """Returns notes about spaces of one name whose model builders are of different files."""
    studies: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for header in (record.header for record in records):
        if header.builder_sha256:
            studies[header.space.name][header.builder_sha256].append(header.name)
    return [
        f"The model builders of space {space} are of different files in the studies "
        f"{' and in '.join(map(', '.join, by_file.values()))}; equal configurations are different networks."
        for space, by_file in studies.items()
        if len(by_file) > 1
    ]


def _copied_run_notes(record: StudyRecord, names: Set[str]) -> list[str]:
    """Returns notes with the number of copied runs by the study that they count in."""
    counts = Counter(run.copied_from for run in record.runs if run.copied_from in names)
    return [
        f"Runs of study {record.header.name} that are those of study {owner}, where they count: {count}."
        for owner, count in sorted(counts.items())
    ]
