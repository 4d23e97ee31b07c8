"""Merging: studies from several machines and folders, made fit for one board, where each run counts once.

Pure, on ``StudyRecord`` values. Called by the commands that rank several studies, before ``leaderboard.rows.compute``.

    merge
      _longest       the same study given twice, or an earlier copy of it: the longer one stays
      _told_apart    different studies of one name: those begun later are called "NAME (2)", "NAME (3)"
      _counted_once  runs that two studies hold: marked in the later study as copied from the other

Whatever was left out or renamed is told by a note.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from search.records.privacy import published
from search.records.record import COPIED_FROM, StudyHeader, StudyRecord, TrialRecord
from search.trial import identity


@dataclass(frozen=True, slots=True)
class Found:
    """A study, and where it was found.

    Args:
        record: As it was read.
        where: A name or a path, for people.
        file: The study's file that it was read from; None where it was read from a ledger.
    """

    record: StudyRecord
    where: str
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Studies that may stand on one board.

    Args:
        records: By name, each name once, with runs of other studies marked as such.
        originals: The same studies as they were found, in the same order.
        notes: What was left out or renamed.
    """

    records: tuple[StudyRecord, ...]
    originals: tuple[Found, ...]
    notes: tuple[str, ...] = ()


def merge(found: Sequence[Found]) -> Merged:
    """Returns the studies with each run counted once."""
    longest, left_out = _longest(found)
    originals = sorted(longest, key=_place)
    named, renamed = _told_apart(originals)
    records, copied = _counted_once(named)
    return Merged(records=tuple(records), originals=tuple(originals), notes=(*left_out, *renamed, *copied))


def _place(one: Found) -> tuple[str, str, int, str]:
    header = one.record.header
    return (header.name, header.created, -_ended(one.record), one.where)


def is_copy(shorter: StudyRecord, longer: StudyRecord) -> bool:
    """Says whether one is the same study as the other, no further than that one: all that it holds stands there too."""
    if shorter.header.name != longer.header.name or _study(shorter.header) != _study(longer.header):
        return False
    known = {one.trial.key: one for one in published(longer).trials}
    return all(_is_same(one, known.get(one.trial.key)) for one in published(shorter).trials)


def _is_same(early: TrialRecord, late: TrialRecord | None) -> bool:
    if late is None or (early.trial, early.started) != (late.trial, late.started):
        return False
    return early.outcome is None or _text(early) == _text(late)


def _study(header: StudyHeader) -> str:
    """Returns a text that the copies of a study share, also where they were renamed or made ready to be published."""
    other = ("name", "command", "space_source")
    document = {key: value for key, value in header.to_json().items() if key not in other}
    return json.dumps(document, sort_keys=True)


def _longest(found: Iterable[Found]) -> tuple[list[Found], list[str]]:
    kept: list[Found] = []
    notes: list[str] = []
    for one in found:
        at = next((at for at, other in enumerate(kept) if _are_copies(one.record, other.record)), None)
        if at is None:
            kept.append(one)
            continue
        other = kept[at]
        longer, shorter = (other, one) if is_copy(one.record, other.record) else (one, other)
        kept[at] = longer
        notes.append(_left_out(shorter, longer))
    return kept, notes


def _are_copies(one: StudyRecord, other: StudyRecord) -> bool:
    return is_copy(one, other) or is_copy(other, one)


def _left_out(shorter: Found, longer: Found) -> str:
    name, ended, of = longer.record.header.name, _ended(shorter.record), _ended(longer.record)
    if ended == of:
        return f"Study {name} was given twice, as {longer.where} and {shorter.where}; it counts once."
    return f"Study {name}: {shorter.where} is an earlier copy, with {ended} trials ended, of {longer.where}, with {of}."


def _ended(record: StudyRecord) -> int:
    return sum(known.outcome is not None for known in record.trials)


def _told_apart(found: Sequence[Found]) -> tuple[list[StudyRecord], list[str]]:
    """Returns the records under names of their own; the study begun first keeps its name."""
    taken: set[str] = set()
    records: list[StudyRecord] = []
    notes: list[str] = []
    for one in found:
        header, number = one.record.header, 1
        name = header.name
        while name in taken:
            number += 1
            name = f"{header.name} ({number})"
        taken.add(name)
        records.append(replace(one.record, header=replace(header, name=name)))
        if number > 1:
            notes.append(f"{name} is another study named {header.name}: {one.where}, begun {header.created}.")
    return records, notes


def _counted_once(records: Sequence[StudyRecord]) -> tuple[list[StudyRecord], list[str]]:
    """Returns the records with the runs marked that are another's.

    A run belongs to the study that is not said to have copied it; of several, to the one begun first.
    """
    ordered = sorted(records, key=lambda record: (record.header.created, record.header.name))
    owners: dict[Hashable, str] = {}
    for are_copied in (False, True):
        for record in ordered:
            for known in record.trials:
                if known.outcome is not None and bool(known.copied_from) is are_copied:
                    owners.setdefault(_run(record, known), record.header.name)
    names = {record.header.name for record in records}
    marked = [_marked(record, owners, names) for record in records]
    return marked, [note for record in marked for note in _copies(record, names)]


def _run(record: StudyRecord, known: TrialRecord) -> Hashable:
    """Returns what tells a run from every other: what was trained, and how long each epoch took.

    One that trained nothing is told by its place in its study alone.
    """
    outcome = known.outcome
    if outcome is None or not outcome.epochs_trained:
        ended = None if outcome is None else (outcome.state, outcome.cause, outcome.error_percent, outcome.wrong)
        return (_study(record.header), known.trial.key, known.started, ended)
    epochs = tuple((repr(report.training_loss), report.seconds) for report in outcome.history)
    return (known.trial.phase, identity(known.trial.config), known.trial.seed, epochs, outcome.error_percent)


def _text(known: TrialRecord) -> str:
    """Returns a text that equal outcomes share; a loss that is not a number does not equal itself."""
    return repr(known.outcome)


def _marked(record: StudyRecord, owners: Mapping[Hashable, str], names: Set[str]) -> StudyRecord:
    """Returns the record with its copied runs marked, and without the time until it parted from their study."""
    name = record.header.name
    trials = [_with_owner(known, owners.get(_run(record, known), name), name, names) for known in record.trials]
    shared = [known.outcome.at_seconds or 0.0 for known in trials if known.outcome and known.copied_from in names]
    return replace(record, trials=tuple(trials), spent_seconds=record.spent_seconds - max(shared, default=0.0))


def _with_owner(known: TrialRecord, owner: str, name: str, names: Set[str]) -> TrialRecord:
    """Returns the run with the name of the study at hand that it is a copy from, if there is one."""
    if known.outcome is None or (owner == name and known.copied_from not in names):
        return known
    copied_from = owner if owner != name else f"{known.copied_from} (another one)"
    environment = {**known.outcome.environment, COPIED_FROM: copied_from}
    return replace(known, outcome=replace(known.outcome, environment=environment))


def _copies(record: StudyRecord, names: Set[str]) -> list[str]:
    """Returns how many runs of a study count in which other."""
    counts = Counter(known.copied_from for known in record.trials if known.copied_from in names)
    return [
        f"Runs of study {record.header.name} that are those of study {owner}, where they count: {count}."
        for owner, count in sorted(counts.items())
    ]
