"""Tables of the leaderboard for people: rows, search trials, failures, studies.

A table is columns and entries. The text, Markdown and HTML renderers lay out and escape its cells; ``status`` shows the
failures too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from search.leaderboard import formatting
from search.leaderboard.board import BoardEntry, Row, Section
from search.leaderboard.columns import COLUMNS, DisplayColumn
from search.leaderboard.reference import Reference
from search.leaderboard.row_parts import TrialSegment
from search.protocol import ClassWeight, Objective
from search.records.failures import FailedTrial, FailureGroup
from search.records.record import StudyHeader
from search.trial import MUTATION_KEY, Phase

T = TypeVar("T")

RANKED_COLUMNS = (
    "rank",
    "label",
    "test_error_percent",
    "baseline_difference_points",
    "test_runs",
    "validation_error_percent",
    "parameters",
    "seconds",
)
"""Columns of the rows with a test error; on the HTML page, of all rows."""
UNBALANCED_COLUMNS = tuple({"parameters": "balanced_error_percent"}.get(key, key) for key in RANKED_COLUMNS)
"""The same where the classes are unbalanced."""
OBJECTIVE_COLUMNS: Mapping[Objective, Mapping[str, str]] = {
    Objective.BALANCED_ERROR: {"parameters": "balanced_error_percent", "seconds": "validation_balanced_error_percent"},
    Objective.LOG_LOSS: {"parameters": "log_loss", "seconds": "validation_log_loss"},
}
"""What takes the place of these columns where a study minimizes another figure than the error."""
DETAIL_COLUMNS = (
    "label",
    "test_errors_percent",
    "balanced_error_percent",
    "validation_balanced_error_percent",
    "log_loss",
    "validation_log_loss",
    "tutorial_difference_points",
    "changes",
    "machine",
    "package_version",
)
"""Columns of the same rows in a second table, in Markdown."""
UNVERIFIED_COLUMNS = ("label", "state", "validation_error_percent", "parameters", "epochs", "seconds")
"""Columns of the rows without a test error."""
FAILURES_TITLE = "Failed and interrupted"
UNKNOWN_CAUSE = "not recorded"
MAX_LISTED_TRIALS = 6
MAX_NAMED_ROWS = 4
"""Number of failed trials that a line names, the last ones; JSON names all."""


def ranked_columns(section: Section) -> Sequence[str]:
    """Returns the columns of a section's rows with a test error."""
    replaced = next((OBJECTIVE_COLUMNS[each] for each in section.objectives if each in OBJECTIVE_COLUMNS), None)
    if replaced is not None:
        return [replaced.get(key, key) for key in RANKED_COLUMNS]
    return UNBALANCED_COLUMNS if section.is_unbalanced else RANKED_COLUMNS


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A table for people.

    Args:
        columns: The columns, without those that are empty or the same in all entries.
        entries: A line each.
    """

    columns: Sequence[DisplayColumn[T]]
    entries: Sequence[T]

    def rows(self) -> list[list[str]]:
        """Returns the cells, on one line each, not escaped."""
        return [[column.text(entry) for column in self.columns] for entry in self.entries]


def _table(columns: Sequence[DisplayColumn[T]], entries: Sequence[T]) -> Table[T]:
    return Table([column for column in columns if _is_informative(column, entries)], entries)


def _is_informative(column: DisplayColumn[T], entries: Sequence[T]) -> bool:
    texts = set(map(column.text, entries))
    return bool(texts - {""}) and (len(texts) > 1 or not column.only_if_different)


def board_columns(keys: Sequence[str], entries: Sequence[BoardEntry]) -> dict[str, DisplayColumn[BoardEntry]]:
    """Returns the columns that are not empty in the rows, and where needed differ, by key.

    Names are followed by what else tells the rows apart, unless it has a column: study, epochs, and the state of trials
    that were not trained in full.
    """
    rows = [entry for entry in entries if isinstance(entry, Row)]
    displays = {key: display for key in keys if (display := COLUMNS[key].display)}
    columns = {key: display for key, display in displays.items() if _is_informative(display, rows)}
    if (name := columns.get("label")) is not None:
        columns["label"] = _qualified_name(name, keys, rows)
    return columns


def board_table(keys: Sequence[str], entries: Sequence[BoardEntry]) -> Table[BoardEntry]:
    """Returns lines of the leaderboard with their ``board_columns``."""
    return Table(list(board_columns(keys, entries).values()), entries)


def remarks(entries: Sequence[BoardEntry]) -> list[str]:
    """Returns what a table leaves to be said: the mark of chosen rows, and warnings about figures."""
    rows = [entry for entry in entries if isinstance(entry, Row)]
    found = []
    if chosen := [row for row in rows if row.chosen_in]:
        figures = dict.fromkeys(formatting.objective_name(row.study) for row in chosen)
        is_loss = any(Objective.of_metric(row.study.objective).metric != row.study.objective for row in chosen)
        reason = "; it is less noisy than the error" if is_loss else ""
        found.append(
            f"{formatting.CHOSEN_MARK} chosen: of its study's verified rows the lowest {' or '.join(figures)}{reason}."
        )
    if names := [row.name for row in rows if row.test_error and row.test_error.n == 1 and row.test_error.interval]:
        which = ", ".join(names) if len(names) <= MAX_NAMED_ROWS else f"{len(names)} rows"
        found.append(f"One seed, so the spread of the seeds is assumed: {which}.")
    for caveat in dict.fromkeys(row.caveat for row in rows if row.caveat):
        names = [row.name for row in rows if row.caveat == caveat]
        whose = "all rows" if 1 < len(names) == len(rows) else ", ".join(dict.fromkeys(names))
        found.append(f"Caution, {whose}: {caveat}.")
    return found


def _qualified_name(
    name: DisplayColumn[BoardEntry], keys: Sequence[str], rows: Sequence[Row]
) -> DisplayColumn[BoardEntry]:
    names_study = "study" not in keys and len({formatting.entry_study(row) for row in rows}) > 1
    names_state = "state" not in keys
    epochs = {is_short: {row.schedule_epochs for row in rows if row.is_short is is_short} for is_short in (False, True)}

    def cell(entry: BoardEntry) -> str:
        parts = [name.cell(entry)]
        if names_study and not isinstance(entry, Reference):
            parts.append(formatting.entry_study(entry))
        if "epochs" not in keys and isinstance(entry, Row) and len(epochs[entry.is_short]) > 1:
            parts.append(formatting.epochs(entry.schedule_epochs))
        if names_state and isinstance(entry, Row) and (state := formatting.exceptional_state(entry)):
            parts.append(state)
        return ", ".join(parts)

    return replace(name, cell=cell)


TrialEntry = tuple[Row, TrialSegment]
_TRIAL_COLUMNS: Sequence[DisplayColumn[TrialEntry]] = (
    DisplayColumn("Trial", lambda entry: str(entry[1].trial), "right"),
    DisplayColumn(
        "Name", lambda entry: f"{entry[0].label} (short)" if entry[0].is_short else entry[0].label, wraps=True
    ),
    DisplayColumn("Study", lambda entry: entry[0].study.name, wraps=True, only_if_different=True),
    DisplayColumn("State", lambda entry: formatting.trial_state(entry[1].state)),
    DisplayColumn("Epochs", lambda entry: _epochs(entry[1]), "right"),
    DisplayColumn("Parent", lambda entry: "" if entry[1].parent is None else str(entry[1].parent), "right"),
    DisplayColumn("Val. %", lambda entry: formatting.percent(entry[1].validation_error_percent), "right"),
    DisplayColumn(
        "Val. bal. %",
        lambda entry: formatting.percent(entry[1].validation_balanced_error_percent),
        "right",
        min_width=110,
    ),
    DisplayColumn("Seconds", lambda entry: f"{entry[1].seconds:.0f}", "right", min_width=100),
    DisplayColumn("Node", lambda entry: entry[1].node),
    DisplayColumn("Engine's notes", lambda entry: _notes(*entry), wraps=True),
)


def has_continued_trials(section: Section) -> bool:
    """Returns whether a trial continued another, ran on a cluster, or has notes of its engine."""
    return any(
        segment.engine_metadata or segment.node or segment.parent is not None
        for row in section.study_rows
        for segment in row.segments
    )


def trial_table(section: Section) -> Table[TrialEntry]:
    """Returns every search trial, those that others continued too, by study and number."""
    entries = [(row, segment) for row in section.study_rows for segment in row.segments]
    return _table(_TRIAL_COLUMNS, sorted(entries, key=lambda entry: (entry[0].study.name, entry[1].trial)))


def _epochs(segment: TrialSegment) -> str:
    return f"{segment.first_epoch}-{segment.last_epoch}" if segment.first_epoch <= segment.last_epoch else "none"


def _notes(row: Row, segment: TrialSegment) -> str:
    """Returns what the engine made a trial from, and its other notes."""
    lineage = formatting.lineage(row)
    notes = {name: value for name, value in segment.engine_metadata.items() if not lineage or name != MUTATION_KEY}
    return ", ".join([*([lineage] if lineage else []), *(f"{name.replace('_', ' ')} {notes[name]}" for name in notes)])


def failure_cause(failure: FailureGroup) -> str:
    """Returns the cause of a group of failures."""
    return failure.cause.value if failure.cause else UNKNOWN_CAUSE


def _failed_trials(failure: FailureGroup) -> str:
    """Returns "#5, #10 (again: #14), verification #2"; the last ones where there are many."""
    more = len(failure.trials) - MAX_LISTED_TRIALS
    names = ", ".join(map(_failed_trial, failure.trials[-MAX_LISTED_TRIALS:]))
    return f"{more} more, {names}" if more > 0 else names


def _failed_trial(trial: FailedTrial) -> str:
    name = f"#{trial.number}" if trial.phase is Phase.SEARCH else f"{trial.phase.value} #{trial.number}"
    return name if trial.continued_by is None else f"{name} (again: #{trial.continued_by})"


_FAILURE_COLUMNS: Sequence[DisplayColumn[FailureGroup]] = (
    DisplayColumn("Cause", failure_cause),
    DisplayColumn("State", lambda failure: failure.state.value),
    DisplayColumn("Count", lambda failure: str(len(failure.trials)), "right"),
    DisplayColumn("Study", lambda failure: failure.study, wraps=True, only_if_different=True),
    DisplayColumn("Trials", _failed_trials, wraps=True),
    DisplayColumn(
        "Last message",
        lambda failure: "" if failure.message == failure_cause(failure) else failure.message,
        wraps=True,
    ),
)


def failure_table(failures: Sequence[FailureGroup]) -> Table[FailureGroup]:
    """Returns the causes of failures and interruptions, with the trials that each ended."""
    return _table(_FAILURE_COLUMNS, failures)


def _class_weight(study: StudyHeader) -> str:
    weight = study.protocol.class_weight
    return "" if weight is ClassWeight.NONE else weight.value


def _objective(study: StudyHeader) -> str:
    objective = Objective.of_metric(study.objective)
    return "" if objective is Objective.ERROR else objective.value


_STUDY_COLUMNS: Sequence[DisplayColumn[StudyHeader]] = (
    DisplayColumn("Study", lambda study: study.name),
    DisplayColumn("Space", lambda study: study.space.name),
    DisplayColumn("Engine", lambda study: study.engine),
    DisplayColumn("Sampler", lambda study: study.sampler),
    DisplayColumn("Pruner", lambda study: study.pruner),
    DisplayColumn("Seed", lambda study: str(study.seed), "right"),
    DisplayColumn("Epochs", lambda study: str(study.protocol.epochs), "right"),
    DisplayColumn("Split", lambda study: study.protocol.split.value),
    DisplayColumn("Split seed", lambda study: str(study.protocol.split_seed), "right"),
    DisplayColumn("Folds", lambda study: "" if study.protocol.folds == 1 else str(study.protocol.folds), "right"),
    DisplayColumn("Class weight", _class_weight),
    DisplayColumn("Objective", _objective),
    DisplayColumn(
        "Max. params", lambda study: "" if study.max_parameters is None else f"{study.max_parameters:,}", "right"
    ),
    DisplayColumn("Created, UTC", lambda study: study.created[:16].replace("T", " ")),
)


def study_table(studies: Sequence[StudyHeader]) -> Table[StudyHeader]:
    """Returns what each study searched, with which engine and split."""
    return _table(_STUDY_COLUMNS, studies)
